//! Many gateways on one machine.

use hermes_tests::suite::Machine;

use crate::suite::{UNITS, host};

const MANY: usize = 450;

#[test]
fn hundreds_are_listed_by_one_question() {
    let host = host();
    let make = format!(
        "cd ~/.hermes/profiles && for i in $(seq {MANY}); do mkdir p$i; : >p$i/SOUL.md; \
         echo 'gateway: {{command: [sleep, \"600\"]}}' >p$i/config.yaml; done"
    );
    // The first command creates the home.
    host.hermes(&["profile", "create", "first"]).ok();
    host.shell(&make).ok();
    host.hermes(&["gateway", "install", "--all"]).ok();
    let links = || {
        let find = format!("find {UNITS} -type l -name 'hermes-gateway@*.service' | wc -l");
        host.shell(&find).ok().stdout.trim().parse::<usize>().expect("a number")
    };
    assert_eq!(links(), MANY + 2, "default and the first, too");
    let some: Vec<_> = (1..=40).map(|i| format!("p{i}")).collect();
    let start: Vec<_> = ["gateway", "start", "--timeout", "300"]
        .into_iter()
        .chain(some.iter().map(String::as_str))
        .collect();
    host.hermes(&start).ok();

    let reason = "counting what is run takes another program in its place";
    let count = "mv /usr/bin/systemctl /usr/bin/systemctl.real && : >/counted && chmod 666 /counted \
                 && printf '#!/bin/sh\\necho >>/counted\\nexec /usr/bin/systemctl.real \"$@\"\\n' \
                 >/usr/bin/systemctl && chmod 755 /usr/bin/systemctl";
    host.0.exec_as_root_because(reason, ["sh", "-c", count]).ok();
    for command in [["gateway", "list", "--json"], ["profile", "list", "--json"]] {
        host.shell(": >/counted").ok();
        let list = host.hermes(&command).json();
        let list = list.as_array().expect("a list");
        assert_eq!(list.len(), MANY + 2);
        let up = list.iter().filter(|one| one["state"] == "up").count();
        assert_eq!(up, some.len());
        let asked = host.shell("wc -l </counted").ok().stdout;
        assert_eq!(asked.trim(), "1", "{command:?}");
    }
    let restore = ["mv", "/usr/bin/systemctl.real", "/usr/bin/systemctl"];
    host.0.exec_as_root_because(reason, restore).ok();

    host.hermes(&["gateway", "uninstall", "--all", "--timeout", "300"]).ok();
    assert_eq!(links(), 0);
    let left = host.systemctl("list-units --plain --no-legend 'hermes-gateway@*'").ok();
    assert_eq!(left.stdout, "");
    assert_eq!(host.0.processes("sleep"), [""; 0]);
}
