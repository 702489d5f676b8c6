//! Two wanted gateways with one port: the second stays down, and every place says why.

use std::fs;

use hermes_tests::{TestEnv, Up, free_port};

#[test]
fn a_wanted_gateway_whose_port_is_taken_is_counted_and_explained() {
    let (env, port) = (TestEnv::new(), free_port());
    for name in ["a", "b"] {
        env.profile_for_later(name, "exec sleep 600", "running");
        let config = env.profile(name).join("config.yaml");
        let text = fs::read_to_string(&config).expect("a config");
        env.write(&config, &format!("{text}  port: {port}\n"));
    }
    let up = Up::start_in(env);
    let log = up.log();
    assert!(log.contains("gateways started: 1, not started: 1"), "{log}");
    assert!(log.contains(&format!("`b` is not started: port {port} belongs to `a`")), "{log}");
    let status = up.status("b");
    assert_eq!((&status["state"], &status["reason"]["kind"]), (&"down".into(), &"port".into()));
    let text = format!("port {port} belongs to `a`, whose gateway is up");
    assert_eq!(status["reason"]["text"], text.as_str(), "{status}");
    assert_eq!(up.status("a")["healthy"], true);
    let all = up.env.hermes(["gateway", "status", "--all"]).fails_with(1);
    assert!(all.stderr.contains(&format!("`b` is down: {text}")), "{all}");
}
