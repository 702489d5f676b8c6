//! The tests of what a cluster of several machines owes beyond the other cases, one function each: what becomes of a
//! gateway whose objects other programs change, and what its Pod sees.

use serde_json::{Value, json};

use super::cases::await_state;
use super::machine::Machine;
use crate::eventually;

/// A [`Machine`] that is a cluster: each gateway runs in a Pod of its own, and commands run where the root home is mounted.
pub trait Cluster: Machine {
    /// The Pod of the profile's gateway, as the API server has it; `None` if there is none.
    fn pod(&self, profile: &str) -> Option<Value>;

    /// Deletes that Pod, as another program does. Does not wait for its end.
    fn delete_pod(&self, profile: &str);

    /// Sets the replicas of the profile's StatefulSet, as another program does.
    fn scale(&self, profile: &str, replicas: u32);

    /// Has the node with the Pod of the profile's gateway answer no more, and returns its name.
    fn lose_node(&self, profile: &str) -> String;
}

/// The unique ID of the Pod of the profile's gateway.
#[track_caller]
pub fn uid(cluster: &impl Cluster, profile: &str) -> Value {
    cluster.pod(profile).expect("a Pod")["metadata"]["uid"].clone()
}

/// A Pod that another program deletes is followed by another one, and the intent stays.
pub fn a_deleted_pod_is_followed_by_another(cluster: &impl Cluster) {
    cluster.profile("coder");
    cluster.hermes(&["gateway", "start", "coder"]).ok();
    let first = uid(cluster, "coder");
    cluster.delete_pod("coder");
    eventually("another Pod is there", || {
        cluster.pod("coder").filter(|pod| pod["metadata"]["uid"] != first)
    });
    let status = await_state(cluster, "coder", "up");
    assert_eq!((&status["intent"], &status["ready"]), (&json!("running"), &json!(true)));
}

/// A stopped gateway keeps its StatefulSet without a Pod, and its next start gives another Pod.
pub fn a_stopped_gateway_has_no_pod(cluster: &impl Cluster) {
    cluster.profile("coder");
    cluster.hermes(&["gateway", "start", "coder"]).ok();
    let first = uid(cluster, "coder");
    cluster.hermes(&["gateway", "stop", "coder"]).ok();
    assert_eq!(cluster.pod("coder"), None);
    assert!(!cluster.service_files("coder").is_empty());
    cluster.hermes(&["gateway", "start", "coder"]).ok();
    assert_ne!(uid(cluster, "coder"), first);
}

/// What another program scaled is put in line by a boot, and the service of a profile that is gone is removed.
pub fn a_boot_follows_the_intents(cluster: &impl Cluster) {
    for name in ["wanted", "unwanted"] {
        cluster.profile(name);
        cluster.hermes(&["gateway", "start", name]).ok();
    }
    cluster.hermes(&["gateway", "stop", "unwanted"]).ok();
    cluster.scale("wanted", 0);
    cluster.scale("unwanted", 1);
    cluster.hermes(&["boot"]).ok();
    let states = ["wanted", "unwanted"].map(|name| cluster.status(name)["state"].clone());
    assert_eq!(states, [json!("up"), json!("down")]);
    cluster.shell(&format!("rm -r {}/profiles/wanted", cluster.home())).ok();
    cluster.hermes(&["boot"]).ok();
    assert_eq!(cluster.service_files("wanted"), [""; 0]);
}

/// `default`, whose home has the homes of all profiles in it, gets no Pod.
pub fn default_has_no_pod(cluster: &impl Cluster) {
    let outcome = cluster.hermes(&["gateway", "start", "default"]).fails_with(1);
    assert!(outcome.stderr.contains("`default` has no Pod"), "{outcome}");
    assert!(outcome.stderr.contains("hermes profile create NAME"), "{outcome}");
    assert_eq!(cluster.status("default")["state"], "unsupervised");
    cluster.hermes(&["boot"]).ok();
    assert_eq!(cluster.pod("default"), None);
}

/// `logs --follow` goes on with the next container and with the next Pod.
pub fn logs_are_followed_over_restarts(cluster: &impl Cluster) {
    let home = format!("{}/profiles/talker", cluster.home());
    let command = format!("echo life; until test -e {home}/end; do sleep 0.1; done; rm {home}/end");
    cluster.profile_running("talker", &command, "");
    cluster.hermes(&["gateway", "start", "talker"]).ok();
    let follow = cluster.hermes(&["gateway", "logs", "talker", "--follow"]).stream();
    follow.await_lines(1);
    cluster.shell(&format!("touch {home}/end")).ok();
    follow.await_lines(2);
    cluster.hermes(&["gateway", "restart", "talker"]).ok();
    follow.await_lines(3);
    let lines = follow.lines();
    assert!(lines.iter().all(|line| line.ends_with("life")), "{lines:?}");
    let printed = cluster.hermes(&["gateway", "logs", "talker"]).ok();
    assert_eq!(printed.stdout.matches("life").count(), 1, "{printed}");
}

/// A gateway sees its own profile's home, and neither another one's nor the root home's files.
pub fn a_gateway_sees_its_own_home_alone(cluster: &impl Cluster) {
    let home = cluster.home();
    cluster.profile("writer");
    cluster.shell(&format!("echo KEY=the-writers-own >>{home}/profiles/writer/.env")).ok();
    cluster.shell(&format!("echo KEY=the-roots-own >>{home}/.env")).ok();
    let look = format!(
        "cd {home}/profiles; echo sees * end; cat writer/.env ../.env ../dashboard.token; \
         ls coder/.env; echo looked; exec sleep 600"
    );
    cluster.profile_running("coder", &look, "");
    cluster.hermes(&["gateway", "start", "coder"]).ok();
    let logs = eventually("it has looked", || {
        let logs = cluster.hermes(&["gateway", "logs", "coder"]).run().stdout;
        logs.contains("looked").then_some(logs)
    });
    assert!(logs.contains("sees coder end"), "{logs}");
    assert!(logs.contains("coder/.env") && !logs.contains("-own"), "{logs}");
    assert_eq!(logs.matches("No such file or directory").count(), 3, "{logs}");
}

/// A gateway, which sees its own home alone, can't have commands read or write another one's files for it.
pub fn no_command_follows_a_link_out_of_a_profile(cluster: &impl Cluster) {
    cluster.profile("coder");
    cluster.profile("writer");
    let home = cluster.home();
    let secret = "gateway: {env: {KEY: the-writers-own}}\n";
    cluster.configure("writer", secret);
    let link = |target: &str| {
        cluster.shell(&format!("ln -sf {target} {home}/profiles/coder/config.yaml")).ok();
    };
    link("../writer/config.yaml");
    for args in [
        &["profile", "port", "coder", "9999"][..],
        &["config", "show", "coder"],
        &["profile", "create", "third", "--clone-from", "coder"],
        &["gateway", "restart", "coder"],
    ] {
        let outcome = cluster.hermes(args).run();
        assert_ne!(outcome.code(), Some(0), "{outcome}");
        assert!(outcome.stderr.contains("leads out of its profile's home"), "{outcome}");
        assert!(!format!("{outcome}").contains("the-writers-own"), "{outcome}");
    }
    let text = cluster.shell(&format!("cat {home}/profiles/writer/config.yaml")).ok().stdout;
    assert_eq!(text, secret);
    cluster.shell(&format!("test -e {home}/profiles/third/config.yaml")).fails_with(1);
    // A link inside of the home is one's own affair.
    let own = format!("echo 'gateway: {{port: 9998}}' >{home}/profiles/coder/own.yaml");
    cluster.shell(&own).ok();
    link("own.yaml");
    let port = cluster.hermes(&["profile", "port", "coder"]).ok();
    assert_eq!(port.stdout.trim(), "9998");
}

/// A stop of a gateway whose node does not answer ends in time, and says which node that is. A Pod that is let go of is
/// followed by another.
pub fn a_node_that_is_down_is_named(cluster: &impl Cluster) {
    cluster.profile("coder");
    cluster.hermes(&["gateway", "start", "coder"]).ok();
    let first = uid(cluster, "coder");
    let node = cluster.lose_node("coder");
    let outcome = cluster.hermes(&["gateway", "stop", "coder", "--timeout", "1"]).fails_with(6);
    let expected = format!("its Pod `hermes-coder-0` has not ended on the node `{node}`");
    assert!(outcome.stderr.contains(&expected), "{outcome}");
    assert!(outcome.stderr.contains("--force"), "{outcome}");
    let status = cluster.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&json!("stopping"), &json!("stopped")));
    assert_eq!(uid(cluster, "coder"), first);
}
