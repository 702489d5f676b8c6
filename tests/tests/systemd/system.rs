//! Gateways of a plain user under the system's manager, which only root may change.

use hermes_tests::suite::Machine;
use hermes_tests::{Hermes, eventually, pid};

use crate::suite::{Host, host};

fn as_root(host: &Host, args: &str) -> Hermes {
    let reason = "what the system's manager runs is root's to change";
    let line = format!("HERMES_HOME=/home/hermes/.hermes hermes --system {args}");
    host.0.exec_as_root_because(reason, ["sh", "-c", &line])
}

#[test]
fn root_installs_and_the_owner_of_the_home_runs() {
    let mut host = host();
    host.hermes(&["profile", "create", "coder"]).ok();
    as_root(&host, "gateway install coder --start").ok();
    let units =
        "cd /etc/systemd/system && ls hermes-gateway-*@.service && cat hermes-gateway-*@.service";
    let text = host.shell(units).ok().stdout;
    assert!(
        text.contains("User=hermes\n") && text.contains("WantedBy=multi-user.target\n"),
        "{text}"
    );
    // Reading needs no option: only the system's manager has this home's units.
    let status = host.status("coder");
    assert_eq!((&status["state"], &status["ready"]), (&"up".into(), &true.into()), "{status}");
    let gateway = pid(&status);
    let owner = host.shell(&format!("stat -c %u /proc/{gateway}")).ok().stdout;
    assert_eq!(owner, "10000\n");
    let outcome = host.hermes(&["gateway", "stop", "coder"]).fails_with(5);
    let command = "sudo env HERMES_HOME=/home/hermes/.hermes hermes --system gateway stop coder";
    assert!(outcome.stderr.contains(command), "{outcome}");
    assert_eq!(pid(&host.status("coder")), gateway);

    host.kill(gateway);
    eventually("it is back", || {
        let status = host.status("coder");
        (status["state"] == "up" && status["pid"] != gateway).then_some(())
    });
    host.restart();
    eventually("it is back", || (host.status("coder")["state"] == "up").then_some(()));
    as_root(&host, "gateway stop coder").ok();
    assert_eq!(host.status("coder")["state"], "down");
    assert_eq!(host.shell("cat ~/.hermes/profiles/coder/gateway.intent").ok().stdout, "stopped\n");
    let foreign = host.shell("find ~/.hermes ! -user hermes").ok();
    assert_eq!(foreign.stdout, "", "root has left nothing of its own");
    as_root(&host, "profile delete coder -y").ok();
    let left = host.shell("find /etc/systemd/system -name 'hermes*'").ok().stdout;
    assert_eq!(left, "");
}

#[test]
fn root_follows_no_link_of_the_owners() {
    let host = host();
    host.hermes(&["profile", "create", "coder"]).ok();
    // The owner may create links where locks, the intent and the logs are written.
    host.shell("rm -rf ~/.hermes/profiles/.locks && ln -s /etc ~/.hermes/profiles/.locks").ok();
    as_root(&host, "gateway install coder").fails_with(5);
    let reason = "only root sees all of /etc";
    let planted = ["find", "/etc", "-maxdepth", "1", "-name", "*coder*"];
    assert_eq!(host.0.exec_as_root_because(reason, planted).ok().stdout, "");
}
