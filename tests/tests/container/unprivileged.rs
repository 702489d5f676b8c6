//! Guarantees if the gateways' s6-svscan runs as `hermes`. They don't hold with `HERMES_SUPERVISION=root`, where
//! these tests are skipped.

use hermes_tests::container::{Base, Start, base};
use hermes_tests::eventually;

use super::users::works_as;

#[test]
fn no_right_to_give_things_away_is_needed() {
    works_as(&Start::new().options(["--cap-drop", "CHOWN"]).booted(), "10000:10000");
}

#[test]
fn what_hermes_plants_never_runs_as_root() {
    let container = Start::new().booted();
    let plant = "d=/run/hermes/service/evil; mkdir $d && printf '#!/bin/sh\\nid -u >>/tmp/who\\nexec sleep 600\\n' >$d/run \
                 && chmod +x $d/run && /command/s6-svscanctl -a /run/hermes/service";
    container.shell(plant).ok();
    let who = || container.shell("cat /tmp/who").run().stdout;
    eventually("it runs", || (who() == "10000\n").then_some(()));
    container.docker("restart");
    container.await_boot(2);
    assert!(who().lines().all(|uid| uid == "10000"), "{}", who());
    for place in
        ["/run/init", "/run/init/gateways", "/etc/services.d", "/etc/cont-init.d", "/run/hermes"]
    {
        let plant = format!("mkdir -p {place}/evil");
        assert_ne!(container.shell(&plant).run().code(), Some(0), "{place}");
    }
}

#[test]
fn root_executes_nothing_that_hermes_may_write() {
    let container = Start::new().booted();
    container.profile_running("coder", "exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    let reason = "the programs of root's processes can be read by root alone";
    let list = "for p in /proc/[0-9]*; do [ \"$(stat -c %u $p 2>/dev/null)\" = 0 ] || continue; \
                [ ${p#/proc/} != $$ ] || continue; readlink $p/exe; \
                tr '\\0' '\\n' <$p/cmdline | grep ^/; done 2>/dev/null; true";
    let programs = container.exec_as_root_because(reason, ["sh", "-c", list]).ok().stdout;
    assert!(programs.contains("/s6-svscan\n") && programs.contains("/s6-supervise\n"));
    // The programs that they execute, now and later, are below these directories.
    let later = ["/init", "/etc/cont-init.d", "/command", "/run/s6", "/usr/local"];
    let scandir = if base() == Base::Plain { "/run/init" } else { "/run/service" };
    for path in programs.lines().chain(later).chain([scandir]) {
        let writable = ["find", path, "!", "-type", "l", "-writable"];
        assert_eq!(container.exec(writable).run().stdout, "", "below {path}");
        let mut parents = std::path::Path::new(path).ancestors().skip(1);
        let open = parents.find(|parent| {
            let parent = parent.to_str().expect("a UTF-8 path");
            container.exec(["test", "-w", parent]).run().code() == Some(0)
        });
        assert_eq!(open, None, "{path}");
    }
}
