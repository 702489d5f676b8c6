//! Reading `config.yaml`: accepted values, and every message.

mod edit;
mod files;

use super::*;

fn ok(text: &str) -> GatewayConfig {
    let loaded = parse(text, Path::new("/x")).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(loaded.warnings, [], "{text:?}");
    loaded.gateway
}

fn message(text: &str) -> String {
    match parse(text, Path::new("/x")) {
        Ok(loaded) => panic!("{text:?} gives {loaded:?}"),
        Err(error) => error.to_string(),
    }
}

/// Blocks of a text, with `⏎` for a line end and `␣` for a byte order mark, and its message below.
#[track_caller]
fn check(blocks: &str) {
    let text = |line: &str| line.replace('⏎', "\n").replace('␣', "\u{feff}");
    let inputs = blocks.lines().filter(|line| !line.is_empty() && !line.starts_with("    "));
    let actual = inputs.map(|line| format!("{line}\n    {}\n", message(&text(line))));
    assert_eq!(actual.collect::<String>(), blocks.trim_start_matches('\n'));
}

#[test]
fn empty_settings_are_the_defaults() {
    for text in [
        "",
        "\u{feff}",
        "\n\n",
        "# only a comment",
        "---\n",
        "---\n...\n",
        "~",
        "{}",
        "gateway:",
        "gateway: null",
        "gateway: ~ # later",
        "gateway: {}",
        "gateway:\n  # port: 1\n",
        "gateway: {port: , host: null, command: ~, env: , ready_url: , on_hang: , resources: , stop_timeout: }",
        "gateway: {env: {}}",
    ] {
        assert_eq!(ok(text), GatewayConfig::default(), "{text:?}");
    }
}

#[test]
fn every_key_is_read() {
    let config = ok("\u{feff}model: {name: x}\r
gateway:\r
  host: 0.0.0.0\r
  port: 8642   # ours\r
  multiplex_profiles: true\r
  command: [agent, '--port={port}', \"a\\tb\", 'on', plain words]\r
  env:\r
    A: '1'\r
    _b2: \"{home}/x\"\r
    EMPTY: ''\r
    LONG: |\r
      two\r
      lines\r
  ready_url: http://localhost/health\r
  liveness: {interval: 5, timeout: 2, failures: 1}\r
  on_hang: restart\r
  resources: {memory: 1G}\r
  stop_timeout: 30\r
");
    let command = ["agent", "--port={port}", "a\tb", "on", "plain words"].map(str::to_owned);
    let env = [("A", "1"), ("EMPTY", ""), ("LONG", "two\nlines\n"), ("_b2", "{home}/x")];
    let [five, two] = [5, 2].map(Duration::from_secs);
    let expected = GatewayConfig {
        kind: GatewayKind::Command,
        program: None,
        topology: Topology::Isolated,
        host: "0.0.0.0".to_owned(),
        port: Some(8642),
        command: Some(command.to_vec()),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ready_url: Some("http://localhost/health".to_owned()),
        liveness: Some(Liveness { interval: five, timeout: two, failures: 1 }),
        on_hang: OnHang::Restart,
        resources: Resources { memory: Some(1 << 30), ..Resources::default() },
        stop_timeout: StopTimeout::new(30).unwrap(),
    };
    assert_eq!(config, expected);
    assert!(config.notifies_readiness());
    assert!(GatewayConfig::default().notifies_readiness());
    assert!(!GatewayConfig { ready_url: None, ..expected }.notifies_readiness());

    let placeholders =
        Placeholders { profile: "p", home: "/h", host: "::1", port: Some(7), program: None };
    assert_eq!(config.filled_command(&placeholders).unwrap().unwrap()[1], "--port=7");
    assert_eq!(config.filled_env(&placeholders).unwrap()["_b2"], "/h/x");
    let without = Placeholders { port: None, ..placeholders };
    let missing = |key: &str| Err(Unfilled::Port { key: key.to_owned() });
    assert_eq!(config.filled_command(&without), missing("gateway.command"));
    assert_eq!(GatewayConfig::default().filled_command(&without), Ok(None));
    let config = ok("gateway: {env: {P: '{port}'}}");
    assert_eq!(config.filled_env(&without).map(|_| None), missing("gateway.env.P"));
}

#[test]
fn keys_of_the_agent_are_not_checked() {
    for rest in [
        "a: 017\nb: [1:30, 0o17, 8_642, on, ~]\n? [complex, {key: 1}]\n: x\n1: 2\non: off",
        "a: 1\na: 2\nb: {c: 1, c: 2}",
        "a: !!bool maybe\nb: !secret x\n!tag c: !!int x",
        "base: &base {gate: 1, port: zz}\nother: {<<: *base}\nlist: [*base, *base]",
        "<<: {x: 1}\ny: &y [*y]",
        "gate: {port: x}\nGateway: {port: x}",
    ] {
        assert_eq!(ok(&format!("{rest}\ngateway: {{port: 5}}\n")).port, Some(5), "{rest}");
        let inside = rest.replace('\n', "\n  ");
        assert_eq!(ok(&format!("gateway:\n  {inside}\n  port: 5\n")).port, Some(5), "{inside}");
    }
    let deep = format!("a: {}{}\ngateway: {{port: 5}}", "[".repeat(300), "]".repeat(300));
    assert_eq!(ok(&deep).port, Some(5));
}

#[test]
fn all_spellings_of_yaml_are_read() {
    for text in [
        "{gateway: {port: 8642}}",
        "{\"gateway\":{\"port\":8642}}",
        "? gateway\n: ? port\n  : 8642",
        "p: &p 8642\ngateway: {port: *p}",
        "g: &g {port: 8642}\ngateway: *g",
        "gateway: &g\n  port: &p 8642\nx: *p",
        "b: &b {x: 1}\ngateway:\n  <<: *b\n  port: 8642",
        "gateway: {'<<': {port: 1}, port: 8642}",
        "%YAML 1.1\n---\ngateway: !!map\n  port: !!int 8642\n...\n",
    ] {
        assert_eq!(ok(text).port, Some(8642), "{text:?}");
    }
    let all = ok("e: &e {A: a}\nc: &c [x]\ngateway:\n  env: *e\n  command: *c\n  host: ::1\n");
    assert_eq!((all.env["A"].as_str(), all.host.as_str()), ("a", "::1"));
    assert_eq!(all.command.unwrap(), ["x"]);
}

#[test]
fn numbers_that_the_readers_read_differently_are_refused() {
    let problem = "must be a plain decimal number without quotes, such as 8642";
    for value in "017 0o17 0x21c2 0b11 1:30 8_642 +1 -1 '8642' \"8642\" 8642.0 1e3 yes x 00 \
        [8642] {a:&1} !!str&8642 !!float&1 !port&8642"
        .split_whitespace()
        .map(|value| value.replace('&', " "))
    {
        let text = format!("gateway:\n  port: {value}\n");
        let column = if value.starts_with(['[', '{']) {
            3
        } else {
            9 + value.rfind(' ').map_or(0, |at| at + 1)
        };
        let expected = format!("invalid `gateway.port` in `/x` line 2 column {column}: {problem}");
        assert_eq!(message(&text), expected, "{value}");
    }
}

#[test]
fn ranges() {
    for (value, expected) in [("1", Some(1)), ("65535", Some(65535)), ("0", None)] {
        let read = parse(&format!("gateway: {{port: {value}}}"), Path::new("/x"));
        assert_eq!(read.ok().and_then(|loaded| loaded.gateway.port), expected);
    }
    assert_eq!(ok("gateway: {stop_timeout: 4}").stop_timeout.seconds(), 4);
    assert_eq!(ok("gateway: {stop_timeout: 3600}").stop_timeout.seconds(), 3600);
    check(
        r#"
gateway: {port: 65536}
    invalid `gateway.port` in `/x` line 1 column 17: must be between 1 and 65535
gateway: {port: 0}
    invalid `gateway.port` in `/x` line 1 column 17: must be between 1 and 65535
gateway: {port: 99999999999999999999999}
    invalid `gateway.port` in `/x` line 1 column 17: must be between 1 and 65535
gateway: {stop_timeout: 3}
    invalid `gateway.stop_timeout` in `/x` line 1 column 25: must be between 4 and 3600 seconds
gateway: {stop_timeout: 3601}
    invalid `gateway.stop_timeout` in `/x` line 1 column 25: must be between 4 and 3600 seconds
gateway: {stop_timeout: 8s}
    invalid `gateway.stop_timeout` in `/x` line 1 column 25: must be a plain decimal number without quotes, such as 8
"#,
    );
}

#[test]
fn strings() {
    check(
        r#"
gateway: {host: yes}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a boolean: put it in quotes
gateway: {host: 017}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a number: put it in quotes
gateway: {host: 1:30}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a number: put it in quotes
gateway: {host: 0o17}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a number: put it in quotes
gateway: {host: 1e3}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a number: put it in quotes
gateway: {host: !!str on}
    invalid `gateway.host` in `/x` line 1 column 23: must be a string, but YAML reads it as a boolean: put it in quotes
gateway: {host: 2001-12-14}
    invalid `gateway.host` in `/x` line 1 column 17: must be a string, but YAML reads it as a date: put it in quotes
gateway:⏎  host: 2001-12-14⏎    1:02:03
    invalid `gateway.host` in `/x` line 2 column 3: must be a string, but YAML reads it as a date: put it in quotes
gateway:⏎  host: [a]
    invalid `gateway.host` in `/x` line 2 column 3: must be a string, not a list
gateway:⏎  host: {a: b}
    invalid `gateway.host` in `/x` line 2 column 3: must be a string, not a mapping
gateway:⏎  command: [agent, {port}]
    invalid `gateway.command` in `/x` line 2 column 21: must be a string, but YAML reads `{port}` as a mapping: put it in quotes
gateway: {host: ''}
    invalid `gateway.host` in `/x` line 1 column 17: must not be empty
gateway: {host: !h x}
    invalid `gateway.host` in `/x` line 1 column 20: must be a string without the tag `!h`
gateway: {host: "a\0b"}
    invalid `gateway.host` in `/x` line 1 column 11: must not contain a NUL character
gateway: {ready_url: 'https://x'}
    invalid `gateway.ready_url` in `/x` line 1 column 22: must start with http://, as in http://127.0.0.1:8642/health: the probe does not speak TLS
gateway: {ready_url: 8642}
    invalid `gateway.ready_url` in `/x` line 1 column 22: must be a string, but YAML reads it as a number: put it in quotes
gateway:⏎  command: agent --flag
    invalid `gateway.command` in `/x` line 2 column 12: must be a list of strings, such as [program, --flag]
gateway: {command: []}
    invalid `gateway.command` in `/x` line 1 column 11: must name a program: the list is empty
gateway: {command: ['']}
    invalid `gateway.command` in `/x` line 1 column 21: must name a program first
gateway:⏎  command:⏎    - agent⏎    - 8642
    invalid `gateway.command` in `/x` line 4 column 7: must be a string, but YAML reads it as a number: put it in quotes
gateway:⏎  command:⏎    - agent⏎    - off
    invalid `gateway.command` in `/x` line 4 column 7: must be a string, but YAML reads it as a boolean: put it in quotes
gateway:⏎  command:⏎    - agent⏎    -
    invalid `gateway.command` in `/x` line 4 column 6: must be a string: write '' for an empty one
gateway: {command: [a, {b: c}]}
    invalid `gateway.command` in `/x` line 1 column 11: must be a string, not a mapping
gateway: {command: [a, =]}
    invalid `gateway.command` in `/x` line 1 column 24: must be a string, but YAML reads it as a special key: put it in quotes
gateway: {command: {a: b}}
    invalid `gateway.command` in `/x` line 1 column 11: must be a list of strings, such as [program, --flag]
gateway: {env: [A=1]}
    invalid `gateway.env` in `/x` line 1 column 11: must be a mapping, with lines like `NAME: value`
gateway: {env: {A: 1}}
    invalid `gateway.env.A` in `/x` line 1 column 20: must be a string, but YAML reads it as a number: put it in quotes
gateway: {env: {A: on}}
    invalid `gateway.env.A` in `/x` line 1 column 20: must be a string, but YAML reads it as a boolean: put it in quotes
gateway: {env: {A: }}
    invalid `gateway.env.A` in `/x` line 1 column 20: must be a string: write '' for an empty one
gateway: {env: {A: [b]}}
    invalid `gateway.env.A` in `/x` line 1 column 17: must be a string, not a list
gateway: {env: {NO: b}}
    invalid `gateway.env` in `/x` line 1 column 17: must be a string, but YAML reads it as a boolean: put it in quotes
gateway: {env: {1A: b}}
    invalid `gateway.env` in `/x` line 1 column 17: invalid variable name `1A`: only letters, digits and `_`, no digit first
gateway: {env: {'': b}}
    invalid `gateway.env` in `/x` line 1 column 17: invalid variable name ``: only letters, digits and `_`, no digit first
gateway: {env: {a-b: c}}
    invalid `gateway.env` in `/x` line 1 column 17: invalid variable name `a-b`: only letters, digits and `_`, no digit first
gateway: {env: {"a\tb": c}}
    invalid `gateway.env` in `/x` line 1 column 11: invalid variable name `a\tb`: only letters, digits and `_`, no digit first
gateway: {env: {A: 'x', A: 'y'}}
    invalid `gateway.env.A` in `/x` line 1 column 25: is set twice: keep one of them
gateway: {env: {[A]: 'x'}}
    invalid `gateway.env` in `/x` line 1 column 11: must be a string, not a list
e: &e {A: a}⏎gateway: {env: {<<: *e}}
    invalid `gateway.env` in `/x` line 2 column 17: must not use a merge key (`<<`): write the variables out
"#,
    );
}

#[test]
fn structure() {
    check(
        r#"
- a
    invalid YAML in `/x` line 1 column 1: the top level must be a mapping, with lines like `gateway:`
gateway
    invalid YAML in `/x` line 1 column 1: the top level must be a mapping, with lines like `gateway:`
!x {gateway: {}}
    invalid YAML in `/x` line 1 column 1: the top level must be a mapping, with lines like `gateway:`
a: 1⏎gateway: 8642
    invalid `gateway` in `/x` line 2 column 10: must be a mapping, with lines like `port: 8642`
a: 1⏎gateway:⏎  - port: 8642
    invalid `gateway` in `/x` line 2 column 1: must be a mapping, with lines like `port: 8642`
gateway: {}⏎b: 1⏎gateway: {}
    invalid `gateway` in `/x` line 3 column 1: is set twice: keep one of them
gateway: {}⏎"gateway": {}
    invalid `gateway` in `/x` line 2 column 1: is set twice: keep one of them
gateway:⏎  port: 1⏎  host: a⏎  port: 1
    invalid `gateway.port` in `/x` line 4 column 3: is set twice: keep one of them
b: &b {port: 1}⏎gateway:⏎  <<: *b
    invalid `gateway.port` in `/x` line 3 column 3: must not be set by a merge key (`<<`): write it out
b: &b {x: 1}⏎c: &c {<<: *b, host: h}⏎gateway:⏎  <<: [*b, *c]
    invalid `gateway.host` in `/x` line 4 column 3: must not be set by a merge key (`<<`): write it out
b: &b {gateway: {}}⏎<<: *b
    invalid `gateway` in `/x` line 2 column 1: must not be set by a merge key (`<<`): write it out
a: 1⏎---⏎b: 2
    invalid YAML in `/x`: more than one document (a second `---`)
a: [1,⏎b: 2
    invalid YAML in `/x` line 2 column 5: did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4
a: 1⏎ b: 2
    invalid YAML in `/x` line 2 column 3: mapping values are not allowed in this context
a: b⏎  c⏎	d: e
    invalid YAML in `/x` line 3 column 1: found a tab character that violates indentation, while scanning a plain scalar at line 1 column 4
a: @b
    invalid YAML in `/x` line 1 column 4: found character that cannot start any token, while scanning for the next token
a: *b
    invalid YAML in `/x` line 1 column 4: unknown anchor
␣a: 'b
    invalid YAML in `/x` line 1 column 6: found unexpected end of stream, while scanning a quoted scalar at line 1 column 4
a: b
    invalid YAML in `/x` line 1 column 5: the control character U+007F is not allowed
ü: 1⏎gateway: {ü: ü, port: x}
    invalid `gateway.port` in `/x` line 2 column 23: must be a plain decimal number without quotes, such as 8642
␣gateway: {port: x}
    invalid `gateway.port` in `/x` line 1 column 17: must be a plain decimal number without quotes, such as 8642
gateway: {env: !!bool maybe}
    invalid YAML in `/x` line 1 column 16: gateway.env: invalid value: string "maybe", expected a boolean
gateway: &g {command: *g}
    invalid YAML in `/x` line 1 column 10: nested too deeply, or a recursive alias
"#,
    );
}

#[test]
fn misspelt_keys() {
    let text = "gateway:\n  Port: 1\n  prot: 1\n  stop-timeout: 1\n  stoptimeout: 1\n  'hosts': 1\n  readyurl: 1
  Ready URL: 1\n  commands: 1\n  \"en\\u0076s\": 1\n";
    let warnings = parse(text, Path::new("/x")).unwrap().warnings;
    let shown: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    unknown key `gateway.Port` in `/x` line 2 column 3: did you mean `port`?
    unknown key `gateway.prot` in `/x` line 3 column 3: did you mean `port`?
    unknown key `gateway.stop-timeout` in `/x` line 4 column 3: did you mean `stop_timeout`?
    unknown key `gateway.stoptimeout` in `/x` line 5 column 3: did you mean `stop_timeout`?
    unknown key `gateway.hosts` in `/x` line 6 column 3: did you mean `host`?
    unknown key `gateway.readyurl` in `/x` line 7 column 3: did you mean `ready_url`?
    unknown key `gateway.Ready URL` in `/x` line 8 column 3: did you mean `ready_url`?
    unknown key `gateway.commands` in `/x` line 9 column 3: did you mean `command`?
    unknown key `gateway.envs` in `/x`: did you mean `env`?
    ");
    ok(
        "gateway: {multiplex_profiles: 1, timeout: 1, hooks: 1, model: 1, url: 1, 1: 2, '': 3, 'null': 4}",
    );
}

#[test]
fn size_and_aliases_are_limited() {
    let large = format!("a: {}", "x".repeat(MAX_SIZE));
    assert_eq!(message(&large), "`/x` is larger than 1024 KiB");
    let laughs = (0..9).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        let list = vec![format!("*a{n}"); 10].join(", ");
        format!("{text}a{}: &a{} [{list}]\n", n + 1, n + 1)
    });
    assert_eq!(ok(&laughs), GatewayConfig::default());
    assert_eq!(
        message(&format!("{laughs}gateway: {{command: *a9}}")),
        "invalid YAML in `/x`: too many values: aliases repeat too much"
    );
}

#[test]
fn stop_budgets() {
    let seconds = |stop: StopTimeout| {
        [stop.budget(), stop.kill_after(), stop.drain()].map(|part| part.as_secs())
    };
    assert_eq!(seconds(StopTimeout::default()), [8, 6, 5]);
    assert_eq!(seconds(StopTimeout::new(StopTimeout::MIN).unwrap()), [4, 2, 1]);
    assert_eq!((StopTimeout::new(3), StopTimeout::new(3601)), (None, None));
    for stop in [4, 8, 3600].map(|seconds| StopTimeout::new(seconds).unwrap()) {
        assert_eq!(StopTimeout::killing_after(stop.kill_after()), stop);
    }
    assert_eq!(StopTimeout::killing_after(Duration::MAX).seconds(), StopTimeout::MAX);
    assert_eq!(StopTimeout::killing_after(Duration::ZERO).seconds(), StopTimeout::MIN);
}
