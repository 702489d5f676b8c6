//! The page behind a reverse proxy, below a base path.

use hermes_tests::{Browser, Dashboard, Proxy, Svscan, free_port, request};

#[test]
fn below_a_base_path_the_page_works_whether_the_proxy_removes_it_or_not() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "echo begun; exec sleep 600");
    let port = free_port();
    let proxy = Proxy::start(&tree.env, port, "/hermes");
    let origins =
        [proxy.keeps, proxy.strips].map(|port| format!("http://localhost:{port}/hermes/"));
    let [keeps, strips] = origins.each_ref().map(String::as_str);
    let dashboard =
        Dashboard::start_with(&tree.env, port, &["--origin", keeps, "--origin", strips]);
    let browser = Browser::start(&tree.env);
    // Where the proxy keeps the path, the server adds the slash.
    for (url, verb, state) in
        [(keeps.trim_end_matches('/'), "start", "up"), (strips, "stop", "down")]
    {
        browser.open(url);
        browser.type_into("#token", &dashboard.token);
        browser.click("#sign-in-form button");
        browser.await_text("#live", "Live");
        browser.await_text("[data-profile=coder] .name", "coder");
        browser.click(&format!("[data-profile=coder] [data-verb={verb}]"));
        browser.await_text("[data-profile=coder] .state", state);
        browser.click("[data-profile=coder] .name");
        browser.await_text(".log", "begun");
        assert_eq!(browser.console_messages(), [""; 0], "{url}");
    }
    // Under its own address, too.
    browser.open(&dashboard.url("/"));
    browser.await_text("#sign-in", "token");
}

#[test]
fn names_and_origins_that_no_option_names_get_nothing_through_a_proxy() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    let port = free_port();
    let proxy = Proxy::start(&tree.env, port, "/hermes");
    let names = ["https://hermes.example:8443/hermes", "https://inside.example/hermes"];
    let origins = format!("{}, {}", names[0], names[1]);
    let dashboard = Dashboard::start_in(
        tree.env.hermes(["dashboard"]).env("HERMES_DASHBOARD_ORIGIN", &origins),
        &tree.env,
        port,
    );
    let token = format!("Bearer {}", dashboard.token);
    for through in [proxy.keeps, proxy.strips] {
        let url = format!("http://127.0.0.1:{through}/hermes/api/v1/gateways/coder/stop");
        for (host, origin, status) in [
            ("hermes.example:8443", "https://hermes.example:8443", 200),
            // Some proxies leave the port out, or put in their own.
            ("hermes.example", "https://hermes.example:8443", 200),
            ("inside.example:8080", "https://inside.example", 200),
            ("hermes.example:8443", "https://hermes.example", 403),
            ("hermes.example:8443", "https://evil.example", 403),
            ("evil.example", "https://hermes.example:8443", 421),
            ("hermes.example.evil.example", "https://hermes.example:8443", 421),
        ] {
            let headers = [("authorization", token.as_str()), ("host", host), ("origin", origin)];
            let answer = request("POST", &url, &headers, None);
            assert_eq!(answer.status, status, "{through} {host} {origin}: {answer:?}");
            assert_eq!(answer.text.contains("--origin"), status != 200, "{answer:?}");
        }
        let page = request("GET", &url.replace("stop", "log"), &[("host", "inside.example")], None);
        assert_eq!(page.status, 401, "the token is required, too");
    }
}
