//! What gateways use: `gateway status --wide`, the dashboard's API and its metrics.

use hermes_tests::{Dashboard, Svscan, eventually};
use serde_json::Value;

/// A tree with `coder`, a gateway of three processes that has used processor time, and `idle`, which is down.
fn tree() -> Svscan {
    let tree = Svscan::start();
    let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 600 & sleep 600 & wait";
    tree.env.profile_running("coder", busy);
    tree.env.profile_running("idle", "exec sleep 600");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    tree
}

#[track_caller]
fn is_plausible(usage: &Value) {
    assert_eq!((&usage["processes"], &usage["memory_kind"]), (&3.into(), &"pss".into()), "{usage}");
    let (memory, cpu) = (usage["memory_bytes"].as_u64(), usage["cpu_seconds"].as_f64());
    assert!(memory.is_some_and(|bytes| (100 << 10..1 << 30).contains(&bytes)), "{usage}");
    assert!(cpu.is_some_and(|seconds| seconds > 0.0 && seconds < 600.0), "{usage}");
}

#[test]
fn status_wide_measures_the_gateway_with_its_descendants() {
    let tree = tree();
    let env = &tree.env;
    let wide = || env.hermes(["gateway", "status", "coder", "--wide", "--json"]).ok().json();
    eventually("it has its children", || (wide()["usage"]["processes"] == 3).then_some(()));
    is_plausible(&wide()["usage"]);
    assert_eq!(tree.status("coder").get("usage"), None, "only where it is asked for");
    let all = env.hermes(["gateway", "status", "--all", "--wide"]).ok().stdout;
    let mut lines = all.lines();
    assert!(lines.next().is_some_and(|head| head.ends_with("PROCESSES")), "{all}");
    let coder = lines.find(|line| line.starts_with("coder")).unwrap_or_default();
    assert!(coder.contains("iB pss ") && coder.ends_with(" 3"), "{all}");
    let idle = all.lines().find(|line| line.starts_with("idle")).unwrap_or_default();
    assert!(idle.ends_with(" -"), "{all}");
    let one = env.hermes(["gateway", "status", "coder", "--wide"]).ok().stdout;
    for key in ["memory     ", "cpu        ", "processes  3"] {
        assert!(one.lines().any(|line| line.starts_with(key)), "{key}: {one}");
    }
    let idle = env.hermes(["gateway", "status", "idle", "--wide", "--json"]).fails_with(3).json();
    assert_eq!(idle.get("usage"), None);
}

#[test]
fn the_dashboard_measures_where_it_is_asked() {
    let tree = tree();
    let dashboard = Dashboard::start(&tree.env);
    let ask = |path: &str| dashboard.ask("GET", path, None);
    let shown = || ask("/api/v1/gateways/coder?wide").json();
    eventually("it has its children", || (shown()["usage"]["processes"] == 3).then_some(()));
    is_plausible(&shown()["usage"]);
    let all = ask("/api/v1/gateways?wide").json();
    let of = |name: &str| {
        let all = all.as_array().expect("a list");
        all.iter().find(|one| one["profile"] == name).cloned().expect("a gateway")
    };
    is_plausible(&of("coder")["usage"]);
    assert_eq!(of("idle").get("usage"), None);
    assert_eq!(ask("/api/v1/gateways/coder").json().get("usage"), None);
    assert!(!ask("/api/v1/gateways").text.contains("memory_bytes"));
    let described = ask("/api/v1/openapi.json").json();
    let properties = &described["components"]["schemas"]["Usage"]["properties"];
    let keys = |object: &Value| {
        let object = object.as_object().expect("an object");
        object.keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(&shown()["usage"]), keys(properties));

    let metrics = ask("/metrics").text;
    let value = |metric: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(metric));
        line.unwrap_or_else(|| panic!("no {metric}: {metrics}")).parse::<f64>().expect("a number")
    };
    let memory = value("hermes_gateway_memory_bytes{profile=\"coder\",kind=\"pss\"} ");
    assert!(memory > 1e5, "{metrics}");
    assert!(value("hermes_gateway_cpu_seconds_total{profile=\"coder\"} ") > 0.0, "{metrics}");
    assert!(!metrics.contains("cpu_seconds_total{profile=\"idle\"}"), "{metrics}");
}
