//! The units that the Python agent's own `gateway install` makes, and `hermes adopt`, which retires and restores them.

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::container::Start;
use hermes_tests::suite::Machine;
use hermes_tests::{pid, within};
use serde_json::json;

use crate::suite::{Host, UNITS};

/// The profiles, with their ports.
const PROFILES: [(&str, u16); 2] = [("alpha", 8701), ("beta", 8702)];

/// A machine on which units of the agent's run the gateways of its profiles.
fn agents_own() -> Host {
    let agent = Agent::installed();
    let venv = agent.venv().to_str().expect("UTF-8").to_owned();
    let mount = format!("{venv}:{venv}:ro");
    let host = Host(Start::systemd().options(["--volume", &mount]).booted());
    // Where its installer links it.
    host.shell(&format!("mkdir -p ~/.local/bin && ln -s {venv}/bin/hermes ~/.local/bin/hermes"))
        .ok();
    for (name, port) in PROFILES {
        let own = |args: &str| host.shell(&format!("{venv}/bin/hermes {args} </dev/null")).ok();
        own(&format!("profile create {name} --no-alias"));
        let lines = format!("API_SERVER_KEY={}\\nAPI_SERVER_PORT={port}\\n", Agent::KEY);
        host.shell(&format!("printf '{lines}' >>~/.hermes/profiles/{name}/.env")).ok();
        own(&format!("-p {name} gateway install"));
        own(&format!("-p {name} gateway start"));
    }
    host
}

impl Host {
    /// Blocks until each gateway answers on its port, with the name of its profile.
    #[track_caller]
    fn all_serve(&self) {
        let ask = "import sys, json, urllib.request as u; r = u.Request(sys.argv[1], \
                   headers={'Authorization': 'Bearer ' + sys.argv[2]}); \
                   print(json.load(u.urlopen(r))['data'][0]['id'])";
        for (name, port) in PROFILES {
            let url = format!("http://127.0.0.1:{port}/v1/models");
            within(TIMEOUT, "its API server answers", || {
                let answer = self.0.exec(["python3", "-c", ask, &url, Agent::KEY]).run();
                (answer.stdout.trim() == name).then_some(())
            });
        }
    }

    /// The agent's units: state, definition and the link that starts each at login.
    fn units(&self) -> String {
        PROFILES.map(|(name, _)| {
            let unit = format!("hermes-gateway-{name}.service");
            let show = "show --property=LoadState,ActiveState,UnitFileState";
            let state = self.systemctl(&format!("{show} {unit}")).ok().stdout;
            let files = format!(
                "cd {UNITS} && stat -c '%n %a' {unit}; sha256sum {unit}; readlink default.target.wants/{unit}; true"
            );
            state + &self.shell(&files).ok().stdout
        }).concat()
    }

    /// Checks that our units run the gateways, and none of the agent's does.
    #[track_caller]
    fn is_adopted(&self) {
        for (name, _) in PROFILES {
            let status = within(TIMEOUT, "it is ready", || {
                Some(self.0.status(name)).filter(|status| status["ready"] == true)
            });
            assert_eq!(status["state"], "up", "{status}");
            let main = format!("show --property=MainPID --value hermes-gateway@{name}.service");
            assert_eq!(self.systemctl(&main).ok().stdout.trim(), pid(&status).to_string());
        }
        let loaded = self.systemctl("list-units --all --plain --no-legend 'hermes-gateway-*'").ok();
        assert_eq!(loaded.stdout, "", "units of the agent's");
        self.all_serve();
    }
}

#[test]
fn the_agents_units_are_retired_for_good_and_come_back_as_they_were() {
    let host = agents_own();
    host.all_serve();
    let before = host.units();
    assert_eq!(before.matches("ActiveState=active").count(), 2, "{before}");
    assert_eq!(before.matches("UnitFileState=enabled").count(), 2, "{before}");
    // Nothing is to be installed beside them.
    let found = host.hermes(&["doctor", "--json"]).run().json();
    let checks = found["findings"].as_array().expect("findings").iter().map(|it| &it["check"]);
    let checks: Vec<_> = checks.collect();
    assert_eq!(checks.iter().filter(|check| ***check == json!("foreign")).count(), 2, "{found:#}");
    assert!(!checks.contains(&&json!("installed")), "{found:#}");

    let plan = host.hermes(&["adopt", "--dry-run"]).ok().stdout;
    for (name, _) in PROFILES {
        assert!(plan.contains(&format!("hermes-gateway-{name}.service")), "{plan}");
    }
    assert_eq!(host.units(), before, "a dry run changes nothing");

    host.hermes(&["adopt", "--timeout", "180"]).ok();
    host.is_adopted();
    host.systemctl("daemon-reexec").ok();
    host.is_adopted();
    host.0.docker("restart");
    host.0.await_boot(2);
    host.is_adopted();

    host.hermes(&["adopt", "--undo", "--timeout", "180"]).ok();
    host.all_serve();
    assert_eq!(host.units(), before);
    for (name, _) in PROFILES {
        assert_eq!(host.0.status(name)["state"], "foreign");
    }
    // Ours would start them a second time.
    assert_eq!(host.shell(&format!("find {UNITS} -name '*@*'")).ok().stdout, "");
    host.0.docker("restart");
    host.0.await_boot(2);
    host.all_serve();
    assert_eq!(host.units(), before);
}

#[test]
fn if_one_fails_the_agents_units_run_again() {
    let host = agents_own();
    host.all_serve();
    let before = host.units();
    // The program that would run `beta` ends at once.
    let config = "~/.hermes/profiles/beta/config.yaml";
    let broken = format!(
        "printf '#!/bin/sh\\nexit 3\\n' >~/broken && chmod 755 ~/broken && \
         test ! -e {config} && echo 'gateway: {{program: /home/hermes/broken}}' >{config}"
    );
    host.shell(&broken).ok();
    let failed = host.hermes(&["adopt", "--timeout", "60"]).fails_with(1).stderr;
    assert!(failed.contains("failed to adopt the gateway of `beta`"), "{failed}");
    assert!(failed.contains("hint: every gateway runs as before"), "{failed}");
    host.shell(&format!("rm {config}")).ok();
    host.all_serve();
    assert_eq!(host.units(), before);
    assert_eq!(host.shell(&format!("find {UNITS} -name '*@*'")).ok().stdout, "");
}

#[test]
fn a_killed_adoption_of_units_is_put_back_or_completed() {
    let host = agents_own();
    host.all_serve();
    let before = host.units();
    let killed_at = |line: &str| {
        let script = format!(
            "hermes adopt --timeout 180 >/dev/null 2>~/told & until grep -q '{line}' ~/told; do \
             kill -0 $! || exit 1; done; kill -9 $!; rm ~/told"
        );
        host.shell(&script).ok();
        let found = host.hermes(&["doctor"]).fails_with(1).stdout;
        assert!(found.contains("error: adoptions: the adoption of `alpha`, `beta`"), "{found}");
        assert!(found.contains("  fix: hermes adopt\n"), "{found}");
    };
    for line in ["putting hermes-gateway-alpha", "`alpha`: stopping process"] {
        killed_at(line);
        host.hermes(&["adopt", "--undo", "--timeout", "180"]).ok();
        host.all_serve();
        assert_eq!(host.units(), before, "{line}");
    }
    killed_at("putting hermes-gateway-alpha");
    host.hermes(&["adopt", "--timeout", "180"]).ok();
    host.is_adopted();
    host.hermes(&["adopt", "--undo", "--timeout", "180"]).ok();
    host.all_serve();
    assert_eq!(host.units(), before);
}
