//! The delay before a restart, which grows where systemd can (254 and later), and is fixed where it can't.

use hermes_host::systemd::unit::GROWING_DELAY;
use hermes_tests::eventually;
use hermes_tests::suite::Machine;

use crate::suite::host;

#[test]
fn the_delay_grows_with_the_deaths() {
    let host = host();
    host.profile_running("dying", "exit 1", "");
    host.hermes(&["gateway", "start", "dying"]).fails_with(1);
    let said = host.systemctl("--version").ok().stdout;
    let version = said.split_whitespace().nth(1).and_then(|word| word.split(['.', '~']).next());
    let version: u32 = version.and_then(|word| word.parse().ok()).expect("a version");
    let show = |property: &str| {
        let show = format!("show --property={property} --value hermes-gateway@dying.service");
        host.systemctl(&show).ok().stdout.trim().to_owned()
    };
    if version < GROWING_DELAY {
        assert_eq!((show("RestartUSec"), show("RestartSteps")), ("5s".to_owned(), String::new()));
        return;
    }
    let expected = ["RestartUSec", "RestartMaxDelayUSec", "RestartSteps"].map(show);
    assert_eq!(expected, ["1s", "30s", "5"]);
    eventually("the delay has grown", || {
        let next = show("RestartUSecNext");
        (!["1s", "0", "infinity", ""].contains(&next.as_str())).then_some(())
    });
}
