//! Two programs called `hermes`: in a shell the Python agent's commands are run by the agent, in its gateways the agent
//! finds itself, and `hermesctl` is this program alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use hermes_tests::agent::Agent;
use hermes_tests::{Hermes, Outcome, TestEnv, Up, alone, hermes_program, is_one_clear_error, pid};

/// An agent that prints its arguments and a part of its environment, copies its input, and exits with 7.
const TELLING: &str = r#"#!/bin/sh
echo "pid $$"
for argument; do echo "argument <$argument>"; done
echo "home $HERMES_HOME, program $HERMES_BIN, search $PATH"
[ -t 1 ] && echo "on a terminal"
cat
exit 7
"#;

/// An environment and the program that is the agent there.
fn with_agent(text: &str) -> (TestEnv, String) {
    let env = TestEnv::new();
    let bin = env.path().join(".local/bin");
    env.make_directory(&env.path().join(".local"));
    env.make_directory(&bin);
    let program = bin.join("hermes");
    env.write_program(&program, text);
    (env, program.to_str().expect("UTF-8").to_owned())
}

#[test]
fn the_agent_takes_the_place_of_this_process() {
    let (env, program) = with_agent(TELLING);
    let mut command = env.command(hermes_program());
    command.args(["-p", "coder", "chat", "-q", "two words", "", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("hermes runs");
    child.stdin.take().expect("a pipe").write_all(b"from stdin\n").expect("it reads");
    let pid = child.id();
    let output = child.wait_with_output().expect("its output");
    let home = env.home().display().to_string();
    let path = std::env::var("PATH").expect("a PATH");
    let expected = format!(
        "pid {pid}\nargument <-p>\nargument <coder>\nargument <chat>\nargument <-q>\nargument <two words>\nargument <>\n\
         argument <--json>\nhome {home}, program {program}, search {path}\nfrom stdin\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(7));
    let (stdout, _, code) = env.hermes(["agent", "doctor"]).on_terminal().ended();
    assert!(stdout.contains("on a terminal"), "{stdout}");
    assert_eq!(code, Some(7));
    let unset = env.hermes(["setup"]).env_remove("HERMES_HOME").fails_with(7);
    let home = env.path().join(".hermes").display().to_string();
    assert!(unset.stdout.contains(&format!("home {home},")), "{unset}");
}

#[test]
fn the_profiles_own_program_runs() {
    let (env, _) = with_agent(TELLING);
    alone(&env, ["profile", "create", "coder"]).ok();
    let own = env.path().join("own");
    env.write_program(&own, "#!/bin/sh\necho own \"$@\"\n");
    let config = env.profile("coder").join("config.yaml");
    env.write(&config, &format!("gateway: {{program: {}}}\n", own.display()));
    for (line, expected) in
        [("-p coder chat", "own -p coder chat\n"), ("chat -p coder", "own chat -p coder\n")]
    {
        assert_eq!(env.hermes(line.split(' ')).ok().stdout, expected);
    }
    env.write(&config, "gateway: {");
    env.hermes(["-p", "coder", "config", "set"]).fails_with(7);
    alone(&env, ["profile", "use", "coder"]).ok();
    env.write(&config, &format!("gateway: {{program: {}}}\n", own.display()));
    assert_eq!(env.hermes(["chat"]).ok().stdout, "own chat\n", "the default profile's");
}

#[test]
fn what_both_have_or_neither_is_not_passed_on() {
    let (env, _) = with_agent(TELLING);
    for (line, code) in
        [("profile list", 0), ("--version", 0), ("nope", 2), ("gateway nope", 2), ("--nope", 2)]
    {
        let outcome = alone(&env, line.split(' ')).fails_with(code);
        assert!(!outcome.stdout.contains("argument <"), "{outcome}");
    }
}

#[test]
fn without_the_agent_its_words_are_usage_errors() {
    let env = TestEnv::new();
    let alone = |line: &str| alone(&env, line.split(' ')).env("PATH", "/nonexistent");
    for line in ["chat", "--tui", "gateway setup", "agent doctor"] {
        let outcome = alone(line).fails_with(2);
        is_one_clear_error(&outcome);
        assert!(
            outcome.stderr.contains("the Python agent was found nowhere: name its"),
            "{outcome}"
        );
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(alone("sessions list --json").fails_with(2).json()["code"], 2);
    let nobodys = alone("nope").fails_with(2);
    assert!(!nobodys.stderr.contains("agent"), "{nobodys}");
    let named = alone("chat").env("HERMES_AGENT", "/nonexistent/hermes").fails_with(2);
    assert!(named.stderr.contains("which is not there"), "{named}");
}

#[test]
fn a_script_that_leads_back_is_refused() {
    for text in ["#!/bin/sh\nexec hermes \"$@\"\n", "#!/bin/sh\nhermes -p default \"$@\"\n"] {
        let (env, program) = with_agent(text);
        let outcome = env.shell("exec hermes chat").fails_with(1);
        let why = format!("`{program}` leads back to this program");
        assert!(outcome.stderr.contains(&why), "{outcome}");
        is_one_clear_error(&outcome);
    }
}

#[test]
fn help_and_completions_offer_the_agent_where_it_is() {
    let (env, program) = with_agent(TELLING);
    let closing = format!(
        "The Python agent is at `{program}`. Its commands are there, too: `hermes chat`, `hermes setup`, `hermes agent --help`."
    );
    for line in [&["--help"][..], &["-h"], &["help"]] {
        let help = env.hermes(line.iter().copied()).ok().stdout;
        let words: Vec<_> = help.split_whitespace().collect();
        assert!(words.join(" ").ends_with(&closing), "{help}");
    }
    let offered = |words: &str, place: usize| {
        let script = env.path().join("completions");
        env.write(&script, &env.hermes(["completions", "bash"]).ok().stdout);
        let last = words.rsplit(' ').next().expect("a word");
        let offer = format!(
            ". {}; COMP_WORDS=({words}) COMP_CWORD={place} COMP_TYPE=9; _clap_complete_hermes hermes {last} x; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let mut bash = env.command("bash");
        bash.args(["-c", &offer]);
        Hermes::new(bash).ok().stdout.trim().to_owned()
    };
    assert_eq!(offered("hermes cha", 1), "chat");
    assert_eq!(offered("hermes gateway enr", 2), "enroll");
    assert_eq!(offered("hermes agent doc", 2), "doctor");

    fs::remove_file(&program).expect("it is there");
    let without = |line: &str| env.hermes(line.split(' ')).env("PATH", "/nonexistent").ok().stdout;
    assert!(!without("--help").contains("is at `"));
    assert_eq!(offered("hermes kanb", 1), "");
    assert!(without("man").contains("hermesctl"), "the page names both");
}

#[test]
fn hermesctl_passes_on_what_follows_agent_alone() {
    let (env, _) = with_agent(TELLING);
    let refused = env.hermesctl(["chat"]).fails_with(2);
    assert!(refused.stderr.contains("unrecognized subcommand 'chat'"), "{refused}");
    env.hermesctl(["agent", "chat"]).fails_with(7);
    let help = env.hermesctl(["--help"]).ok();
    assert!(!help.stdout.contains("is at `"), "{help}");
}

/// The words in the list `{a,b,…}` of the agent's help.
fn commands(help: &str) -> Vec<&str> {
    let (_, list) = help.split_once('{').expect("a list of commands");
    list.split_once('}').expect("its end").0.split(',').collect()
}

#[test]
fn the_real_agent_answers_as_if_it_were_called_itself() {
    let agent = Agent::installed();
    let env = TestEnv::new();
    agent.link(&env);
    agent.create(&env, "alpha");
    for line in [
        "chat --help",
        "chat --nope",
        "config path",
        "-p alpha config path",
        "-p alpha sessions list",
        "sessions list -p alpha",
        "sessions nope",
        "gateway setup --help",
        "-p nobody sessions list",
        "--oneshot",
    ] {
        // Names ours has, too, go to the agent with one more word.
        let line: Vec<_> = line.split(' ').collect();
        let word = line.contains(&"config").then_some("agent");
        let passed = env.hermes(word.into_iter().chain(line.iter().copied())).run();
        let own = agent.command(&env, line).run();
        let told =
            |outcome: &Outcome| (outcome.code(), outcome.stdout.clone(), outcome.stderr.clone());
        assert_eq!(told(&passed), told(&own));
    }
    let version = env.hermes(["agent", "--version"]).ok();
    assert!(version.stdout.starts_with("Hermes Agent v0.19"), "{version}");
    let help = env.hermes(["--help"]).ok().stdout;
    assert!(help.contains("\nThe Python agent 0.19.0 is at `"), "{help}");
}

#[test]
fn every_command_of_the_real_agents_is_ours_or_passed_on() {
    let agent = Agent::installed();
    let (env, _) = with_agent("#!/bin/sh\nexit 7\n");
    let mut unknown = Vec::new();
    for group in [&[][..], &["config"], &["gateway"], &["profile"]] {
        let help = agent.command(&env, [group, &["--help"]].concat()).ok().stdout;
        for word in commands(&help) {
            let line = [group, &[word, "--help"]].concat();
            let code = env.hermes(line.iter().copied()).run().code();
            if code != Some(7) && code != Some(0) {
                unknown.push(line.join(" "));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    let help = agent.command(&env, ["--help"]).ok().stdout;
    let usage = help.split("\n\n").next().expect("the usage");
    let options = usage.split(|c: char| c.is_whitespace() || "[]".contains(c));
    for option in options.filter(|word| word.starts_with('-')) {
        let code = env.hermes([option]).run().code();
        assert!(code == Some(7) || ["-h", "--version"].contains(&option), "{option}: {code:?}");
    }
}

/// Starts a kanban worker as the agent's dispatcher does, and prints its program and its log.
const WORKER: &str = r#"
import contextlib, subprocess
from hermes_cli import kanban_db

started = []
popen = subprocess.Popen
def recorded(command, *args, **kwargs):
    process = popen(command, *args, **kwargs)
    started.append((command, process))
    return process
subprocess.Popen = recorded

with contextlib.closing(kanban_db.connect()) as db:
    kanban_db.create_task(db, title="a task", assignee="alpha")
    print(kanban_db.dispatch_once(db).spawned)
[(command, process)] = started
print("code", process.wait(timeout=120))
print("program", command[0])
[log] = kanban_db.worker_logs_dir().iterdir()
print("log", log.read_text(errors="replace"))
"#;

#[test]
fn the_agent_under_a_gateway_calls_itself() {
    let agent = Agent::installed();
    let env = TestEnv::new();
    agent.link(&env);
    let linked = env.path().join(".local/bin/hermes");
    let programs = env.path().join("programs");
    env.make_directory(&programs);
    symlink(hermes_program(), programs.join("hermes")).expect("a link");
    let ours_first = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    let mut up = env.command(hermes_program());
    up.arg("up").env("PATH", &ours_first);
    let tree = Up::launch(env, up).await_up();
    let env = &tree.env;
    agent.create(env, "alpha");
    env.hermes(["gateway", "start", "alpha", "--timeout", "180"]).ok();

    let environ = fs::read(format!("/proc/{}/environ", pid(&tree.status("alpha")))).expect("ours");
    let environ = String::from_utf8(environ).expect("UTF-8");
    let environ: BTreeMap<_, _> =
        environ.split_terminator('\0').filter_map(|pair| pair.split_once('=')).collect();
    let path: Vec<PathBuf> = std::env::split_paths(environ["PATH"]).collect();
    assert_eq!(&path[..2], [linked.parent().expect("a directory"), &*programs]);
    assert_eq!(environ["HERMES_BIN"], linked.to_str().expect("UTF-8"));

    let within = |program: PathBuf, args: &[&str]| {
        let mut command = env.command(program);
        command.args(args).env_clear().envs(&environ);
        Hermes::new(command)
    };
    let worker = within(agent.venv().join("bin/python"), &["-c", WORKER]).ok();
    let program = format!("program {}\n", linked.display());
    assert!(worker.stdout.contains(&program), "{worker}");
    assert!(worker.stdout.contains("\nlog ") && !worker.stdout.contains("error: "), "{worker}");

    within("/bin/sh".into(), &["-c", "hermes profile create beta"]).ok();
    let alias = fs::read_to_string(env.path().join(".local/bin/beta")).expect("the alias");
    assert_eq!(alias, format!("#!/bin/sh\nexec {} -p beta \"$@\"\n", linked.display()));
    env.hermes(["gateway", "stop", "alpha", "--timeout", "120"]).ok();
}
