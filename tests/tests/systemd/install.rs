//! Installed units, and the requirements of the machine.

use hermes_tests::eventually;
use hermes_tests::suite::Machine;
use serde_json::Value;

use crate::suite::{UNITS, host};

#[test]
fn systemd_accepts_the_unit() {
    let host = host();
    host.profile("my-coder");
    let unit = "hermes-gateway@my-coder.service";
    host.shell(&format!("systemd-analyze --user verify {UNITS}/{unit}")).fails_with(1);
    let verify = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemd-analyze --user verify";
    let said = host.shell(&format!("cd {UNITS} && {verify} hermes-gateway@.service")).ok();
    assert_eq!(said.stderr, "", "{said}");
    let link = host.shell(&format!("readlink {UNITS}/default.target.wants/{unit}")).ok().stdout;
    assert_eq!(link, "../hermes-gateway@.service\n");
    let when = || host.shell(&format!("stat -c %i.%y {UNITS}/hermes-gateway@.service")).ok().stdout;
    let before = when();
    host.hermes(&["gateway", "install", "my-coder"]).ok();
    host.hermes(&["gateway", "start", "my-coder"]).ok();
    assert_eq!(when(), before);
    assert_eq!(host.systemctl(&format!("is-enabled {unit}")).ok().stdout, "enabled\n");
    // `install` starts the gateway with `--start`, or if its intent is `running`.
    host.hermes(&["profile", "create", "other", "--start"]).ok();
    host.hermes(&["gateway", "install", "other"]).ok();
    assert_eq!(host.status("other")["state"], "up");
    host.profile("third");
    host.hermes(&["gateway", "install", "third", "--start"]).ok();
    assert_eq!(host.status("third")["intent"], "running");
    // A template of another version is rewritten, and the last uninstall removes it.
    host.shell(&format!("sed -i s/^Generation=.*/Generation=0/ {UNITS}/hermes-gateway@.service"))
        .ok();
    let told = host.hermes(&["gateway", "status", "other"]).ok();
    assert!(told.stderr.contains("is of generation 0"), "{told}");
    host.hermes(&["gateway", "install", "--all"]).ok();
    assert!(!host.hermes(&["gateway", "status", "other"]).ok().stderr.contains("generation"));
    // One of a newer version is not, and the last uninstall still removes it.
    host.shell(&format!("sed -i s/^Generation=.*/Generation=99/ {UNITS}/hermes-gateway@.service"))
        .ok();
    let refused = host.hermes(&["gateway", "install", "other"]).fails_with(1);
    let sentence = "was written by a newer version of Hermes (format 99; this version knows up to ";
    assert!(refused.stderr.contains(sentence), "{refused}");
    assert_eq!(host.status("other")["state"], "up");
    host.hermes(&["gateway", "uninstall", "--all"]).ok();
    assert_eq!(host.shell(&format!("find {UNITS} -name 'hermes*'")).ok().stdout, "");
    assert_eq!(host.status("other")["state"], "unsupervised");
    assert_eq!(host.status("other")["intent"], "running", "that is not the operator's stop");
    host.hermes(&["gateway", "uninstall", "other"]).ok();
}

#[test]
fn a_first_installation_that_fails_leaves_nothing() {
    let host = host();
    host.hermes(&["profile", "create", "coder"]).ok();
    let wants = format!("{UNITS}/default.target.wants");
    host.shell(&format!("mkdir -p {UNITS} && touch {wants}")).ok();
    let failed = host.hermes(&["gateway", "install", "coder"]).fails_with(1);
    let left = host.shell(&format!("find {UNITS} -name 'hermes*'")).ok().stdout;
    assert_eq!(left, "", "{failed}");
    host.shell(&format!("rm {wants}")).ok();
    host.hermes(&["gateway", "install", "coder"]).ok();
}

#[test]
fn a_longer_stop_budget_updates_the_unit() {
    let host = host();
    host.profile("coder");
    let stop =
        || host.shell(&format!("grep TimeoutStopSec {UNITS}/hermes-gateway@.service")).ok().stdout;
    assert_eq!(stop(), "TimeoutStopSec=6\n");
    host.configure("coder", "gateway:\n  port: 8700\n  stop_timeout: 120\n");
    host.hermes(&["gateway", "start", "coder"]).ok();
    assert_eq!(stop(), "TimeoutStopSec=118\n");
    let loaded = host.systemctl("show -p TimeoutStopUSec hermes-gateway@coder.service").ok().stdout;
    assert_eq!(loaded, "TimeoutStopUSec=1min 58s\n");
}

#[test]
fn the_manager_starts_no_gateway_in_a_home_that_others_may_write() {
    let host = host();
    host.profile("coder");
    host.hermes(&["gateway", "start", "coder"]).ok();
    let chmod = |bits: &str| host.shell(&format!("chmod {bits} ~/.hermes/profiles/coder")).ok();
    let restart = || host.systemctl("restart hermes-gateway@coder.service").run();
    chmod("775");
    restart();
    let parked = eventually("it is parked", || {
        Some(host.status("coder")).filter(|status| status["state"] == "parked")
    });
    let reason = parked["parked"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("other users may write to"), "{parked}");
    host.hermes(&["gateway", "start", "coder"]).fails_with(5);
    host.shell("HERMES_OPEN_HOME=1 hermes gateway start coder").ok();
    // A command without the variable takes nothing back, but the last uninstall.
    chmod("755");
    host.hermes(&["gateway", "restart", "coder"]).ok();
    host.hermes(&["gateway", "install", "--all"]).ok();
    chmod("775");
    restart();
    assert_eq!(host.status("coder")["state"], "up");
    host.hermes(&["gateway", "uninstall", "--all"]).ok();
    chmod("755");
    host.hermes(&["gateway", "install", "coder"]).ok();
    let unit = host.shell(&format!("cat {UNITS}/hermes-gateway@.service")).ok().stdout;
    assert!(!unit.contains("OPEN_HOME"), "{unit}");
}

#[test]
fn a_foreign_unit_stays() {
    let host = host();
    host.profile("coder");
    let template = format!("{UNITS}/hermes-gateway@.service");
    host.shell(&format!("sed -i 's|^Home=.*|Home=/srv/other|' {template}")).ok();
    let text = host.shell(&format!("cat {template}")).ok().stdout;
    for verb in ["install", "start", "stop", "restart", "uninstall"] {
        let outcome = host.hermes(&["gateway", verb, "coder"]).fails_with(1);
        for home in ["/srv/other", "/home/hermes/.hermes"] {
            assert!(outcome.stderr.contains(&format!("`{home}`")), "{outcome}");
        }
    }
    host.hermes(&["profile", "delete", "coder", "-y"]).fails_with(1);
    assert_eq!(host.status("coder")["state"], "down", "it is still there");
    assert_eq!(host.shell(&format!("cat {template}")).ok().stdout, text);
    host.shell(&format!("echo '[Service]' >{template}")).ok();
    let outcome = host.hermes(&["gateway", "uninstall", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("was not written by hermes"), "{outcome}");
}

#[test]
fn another_home_has_units_of_its_own() {
    let host = host();
    host.profile("coder");
    let other = |args: &str| host.shell(&format!("HERMES_HOME=/home/hermes/other hermes {args}"));
    other("profile create coder").ok();
    other("gateway install coder --start").ok();
    host.hermes(&["gateway", "stop", "coder"]).ok();
    let status = other("gateway status coder --json").ok().json();
    assert_eq!(status["state"], "up");
    let units = host.shell(&format!("ls {UNITS}")).ok().stdout;
    assert_eq!(units.lines().filter(|unit| unit.starts_with("hermes-gateway-")).count(), 1);
    let temporary = "mkdir /tmp/h; HERMES_HOME=/tmp/h hermes profile create coder; \
                     HERMES_HOME=/tmp/h hermes gateway install coder";
    let outcome = host.shell(temporary).fails_with(1);
    assert!(outcome.stderr.contains("is below `/tmp`"), "{outcome}");
}

#[test]
fn missing_requirements_are_reported_with_a_remedy() {
    let host = host();
    host.profile("coder");
    let root = |script: &str| {
        let reason = "lingering and the journal's place are root's to give and take";
        host.0.exec_as_root_because(reason, ["sh", "-c", script]).ok()
    };
    root("rm /var/lib/systemd/linger/hermes; mv /var/log/journal /var/log/other");
    let mends = ["as root: loginctl enable-linger hermes", "as root: mkdir -p /var/log/journal"];
    for command in [&["gateway", "status", "coder"][..], &["gateway", "install", "coder"]] {
        let told = host.hermes(command).run();
        assert!(mends.iter().all(|remedy| told.stderr.contains(remedy)), "{told}");
    }
    let report = host.hermes(&["doctor"]).ok().stdout;
    assert!(mends.iter().all(|remedy| report.contains(remedy)), "{report}");
    // Of systemd itself: newer versions ask where the caller belongs, which a process that came from outside does not say.
    root("systemd-run --quiet --wait loginctl enable-linger hermes");
    root("mv /var/log/other /var/log/journal");
    let told = host.hermes(&["gateway", "status", "coder"]).run();
    assert_eq!(told.stderr, "", "{told}");
    let report = host.hermes(&["doctor", "--json"]).ok().json();
    assert_eq!(report["findings"], Value::Array(Vec::new()), "{report}");
    assert_eq!(report["backend"], "systemd");
    // Without a manager every command fails; once a manager answers, they work again.
    root("systemctl stop user@10000.service");
    let outcome = host.hermes(&["gateway", "start", "coder"]).fails_with(5);
    assert!(outcome.stderr.contains("as root: systemctl start user@10000"), "{outcome}");
    host.hermes(&["doctor"]).fails_with(1);
    root("systemctl start user@10000.service");
    host.hermes(&["gateway", "start", "coder"]).ok();
}

#[test]
fn what_is_for_s6_alone_says_what_to_do_here() {
    let host = host();
    let created = host.hermes(&["profile", "create", "coder"]).ok();
    assert!(created.stderr.contains("`hermes gateway install coder`"), "{created}");
    let outcome = host.hermes(&["gateway", "register", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("`hermes gateway install NAME`"), "{outcome}");
    let name = "a".repeat(240);
    let outcome = host.hermes(&["profile", "create", &name]).fails_with(1);
    assert!(outcome.stderr.contains("systemd allows"), "{outcome}");
    host.shell(&format!("test -e ~/.hermes/profiles/{name}")).fails_with(1);
}

#[test]
fn a_parked_gateway_stays_parked_and_doctor_says_so() {
    let host = host();
    host.profile_running("coder", "exit 78", "");
    host.hermes(&["gateway", "start", "coder"]).fails_with(1);
    let report = host.hermes(&["doctor"]).fails_with(1);
    assert!(report.stdout.contains("the gateway of `coder` is parked"), "{report}");
    host.profile("wanted");
    host.hermes(&["gateway", "start", "wanted"]).ok();
    host.systemctl("stop hermes-gateway@wanted.service").ok();
    let report = host.hermes(&["doctor"]).fails_with(1);
    assert!(report.stdout.contains("`wanted` is wanted and down"), "{report}");
    host.shell(&format!("rm {UNITS}/default.target.wants/hermes-gateway@wanted.service")).ok();
    let report = host.hermes(&["doctor"]).fails_with(1);
    assert!(report.stdout.contains("`wanted` is wanted and not installed"), "{report}");
    host.hermes(&["gateway", "start", "wanted"]).ok();
    host.shell("rm -r ~/.hermes/profiles/wanted").ok();
    eventually("a service without profile is reported", || {
        let list = host.hermes(&["gateway", "list"]).run();
        list.stderr.contains("`hermes gateway uninstall wanted` removes it").then_some(())
    });
    host.hermes(&["gateway", "uninstall", "wanted"]).ok();
    assert_eq!(host.service_files("wanted"), [""; 0]);
}

#[test]
fn limits_are_in_a_drop_in_of_the_gateways_unit() {
    let host = host();
    host.profile("coder");
    let (unit, config) = ("hermes-gateway@coder.service", "~/.hermes/profiles/coder/config.yaml");
    let drop_in = format!("{UNITS}/{unit}.d/hermes.conf");
    assert_eq!(host.shell(&format!("ls {UNITS}/*.d")).run().stdout, "");
    let limit = |memory: &str| {
        let resources = format!("  resources: {{memory: {memory}, tasks: 64, files: 999}}");
        host.shell(&format!("sed -i '/resources:/d' {config} && echo '{resources}' >>{config}"))
            .ok();
        host.hermes(&["gateway", "restart", "coder"]).ok();
        let properties = "MemoryMax,TasksMax,LimitNOFILE";
        host.systemctl(&format!("show -p {properties} {unit}")).ok().stdout
    };
    let shown = limit("64M");
    for line in ["MemoryMax=67108864", "TasksMax=64", "LimitNOFILE=999"] {
        assert!(shown.lines().any(|other| other == line), "no {line}: {shown}");
    }
    assert!(limit("128M").contains("MemoryMax=134217728"));
    // A change that no command has applied is a finding, whose remedy applies it.
    host.shell(&format!("sed -i 's/memory: 128M/memory: 96M/' {config}")).ok();
    let told = host.hermes(&["doctor"]).run();
    assert!(told.stdout.contains("has not the limits of its `gateway.resources`"), "{told}");
    host.hermes(&["gateway", "install", "coder"]).ok();
    assert!(host.shell(&format!("cat {drop_in}")).ok().stdout.contains("MemoryMax=100663296"));
    host.shell(&format!("sed -i '/resources:/d' {config}")).ok();
    host.hermes(&["gateway", "restart", "coder"]).ok();
    host.shell(&format!("ls -d {UNITS}/{unit}.d")).fails_with(2);
    let shown = host.systemctl(&format!("show -p MemoryMax {unit}")).ok().stdout;
    assert_eq!(shown, "MemoryMax=infinity\n");
    limit("64M");
    host.hermes(&["gateway", "uninstall", "coder"]).ok();
    assert_eq!(host.shell(&format!("find {UNITS} -name 'hermes*'")).ok().stdout, "");
}
