//! Requests of servers of these tests, one of which never answers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

/// A server that answers each connection with `answer` and closes it.
fn serve(host: &str, port: u16, answer: &'static str) -> u16 {
    let listener = TcpListener::bind((host, port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const LONG: Duration = Duration::from_secs(60);

#[test]
fn either_address_of_localhost_answers() {
    for host in ["127.0.0.1", "::1"] {
        let port = serve(host, 0, OK);
        let targets = [(target(&format!("http://localhost:{port}/")), LONG)];
        let answers = ask_all(&targets, |_, _| Ok(()));
        assert_eq!(answers, [Ok(SocketAddr::new(host.parse().unwrap(), port))]);
    }
}

#[test]
fn the_failure_that_says_most_is_reported() {
    let port = serve("::1", 0, "HTTP/1.1 503 Busy\r\n\r\n");
    let not_http = serve("127.0.0.1", 0, "220 mail\r\n and more");
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let own = serve("127.0.0.1", 0, OK);
    let targets = [
        target(&format!("http://localhost:{port}/")),
        target(&format!("http://127.0.0.1:{not_http}/")),
        target(&format!("http://{closed}/")),
        target(&format!("http://127.0.0.1:{own}/")),
    ];
    let targets = targets.map(|target| (target, LONG));
    let answers = ask_all(&targets, |index, _| match index {
        3 => Err(Failure::NotOwn("process 7".to_owned())),
        _ => Ok(()),
    });
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.unwrap_err().to_string()).collect();
    assert_eq!(
        answers,
        [
            "answered 503",
            "the answer is not HTTP",
            "connection refused",
            "process 7 listens there, which is not the gateway's"
        ]
    );
}

#[test]
fn one_that_never_answers_holds_up_no_other() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = serve("127.0.0.1", 0, OK);
    let mut requests = Requests::default();
    requests.begin("silent", &target(&format!("http://{}/", silent.local_addr().unwrap())), LONG);
    requests.begin("lively", &target(&format!("http://127.0.0.1:{port}/")), LONG);
    let begun = Instant::now();
    let ended = requests.wait(None, &[], |_, _| Ok(()));
    assert!(matches!(ended.as_slice(), [("lively", Ok(_))]), "{ended:?}");
    assert!(requests.any(|key| *key == "silent"));
    assert!(begun.elapsed() < LONG);

    let short = Duration::from_millis(200);
    let silent = target(&format!("http://{}/", silent.local_addr().unwrap()));
    assert_eq!(ask_all(&[(silent, short)], |_, _| Ok(())), [Err(Failure::TimedOut(short))]);
}
