//! The pages in `docs/` document exactly the program's commands, options, states, exit codes and variables.
//!
//! `--help` lists the commands; a page's code spans and blocks show those that it documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hermes_core::State;
use hermes_tests::hermes_program;

/// The pages, each with its commands.
const PAGES: [(&str, &[&str]); 12] = [
    ("docs/commands/profile.md", &["profile"]),
    ("docs/commands/gateway.md", &["gateway"]),
    ("docs/commands/short.md", &["top"]),
    ("docs/commands/config.md", &["config"]),
    ("docs/commands/events.md", &["events"]),
    ("docs/commands/adopt.md", &["adopt"]),
    ("docs/commands/up.md", &["up", "down"]),
    ("docs/commands/boot.md", &["boot"]),
    ("docs/commands/doctor.md", &["doctor"]),
    ("docs/commands/dashboard.md", &["dashboard"]),
    ("docs/commands/agent.md", &["agent"]),
    ("docs/commands/shell.md", &["completions", "man"]),
];
/// The short forms of commands, which have the same options.
const SHORT: [(&str, &str); 6] = [
    ("logs", "logs"),
    ("ps", "list"),
    ("restart", "restart"),
    ("start", "start"),
    ("status", "status"),
    ("stop", "stop"),
];
const COMMON: &str = "docs/commands/README.md";
const ENVIRONMENT: &str = "docs/environment.md";
const SECURITY: &str = "docs/security.md";
const HOSTS: &str = "docs/hosts.md";
const KUBERNETES: &str = "docs/kubernetes.md";
const SCALE: &str = "docs/scale.md";
const README: &str = "README.md";

/// The help of one command.
#[derive(Default)]
struct Help {
    commands: Vec<String>,
    options: BTreeSet<String>,
}

/// Every visible command by its words, `hermes` itself by none.
type Tree = BTreeMap<Vec<String>, Help>;

fn help_text(words: &[String]) -> String {
    // After `agent`, `--help` is the agent's.
    let output = Command::new(hermes_program()).arg("help").args(words).output().expect("it runs");
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The entries of a list at the end of `hermes --help`.
fn of_help(heading: &str) -> BTreeSet<String> {
    let text = help_text(&[]);
    let list = text.lines().skip_while(|line| *line != heading).skip(1);
    let list = list.map_while(|line| line.split_whitespace().next());
    list.map(str::to_owned).collect()
}

fn help(words: &[String]) -> Help {
    let text = help_text(words);
    let mut help = Help::default();
    let mut heading = "";
    for line in text.lines() {
        if !line.is_empty() && !line.starts_with(' ') {
            heading = line;
        }
        let entry = line.trim_start();
        match heading {
            "Commands:" if line.len() - entry.len() == 2 => {
                let name = entry.split_whitespace().next().expect("a name");
                help.commands.push(name.to_owned());
            }
            "Options:" if entry.starts_with('-') => help.options.extend(long_options(entry)),
            _ => {}
        }
    }
    help.commands.retain(|name| name != "help");
    help
}

fn walk(words: Vec<String>, tree: &mut Tree) {
    let help = help(&words);
    for name in &help.commands {
        walk([words.as_slice(), std::slice::from_ref(name)].concat(), tree);
    }
    tree.insert(words, help);
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    walk(Vec::new(), &mut tree);
    assert!(tree.len() > 20, "the help was not understood");
    tree
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The long options that `text` names, without their values.
fn long_options(text: &str) -> impl Iterator<Item = String> + '_ {
    let part_of_one = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = text.split(move |c| !part_of_one(c));
    words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned)
}

/// The code in a page: its code spans, and the lines of its code blocks.
fn code(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut text = String::new();
    let mut block = None;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_none() { Some(language.to_owned()) } else { None };
            continue;
        }
        match block.as_deref() {
            // In a console block, only the commands count.
            Some("console") => code.extend(line.strip_prefix("$ ").map(str::to_owned)),
            Some(_) => code.push(line.to_owned()),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(block.is_none(), "a block of code has no end");
    code.extend(text.split('`').skip(1).step_by(2).map(str::to_owned));
    code
}

/// The first cell of every row of the table under a heading, with the rest of the row.
fn table(page: &str, heading: &str) -> BTreeMap<String, String> {
    let (_, section) = page.split_once(&format!("# {heading}\n")).expect("the heading");
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let (first, rest) = row.trim_start_matches('|').split_once('|').expect("two cells");
        (first.trim().trim_matches('`').to_owned(), rest.to_owned())
    })
    .collect()
}

/// What is wrong with the use of `hermes` in `code`.
fn misuse(code: &str, tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts = code.split(['|', '&', ';', '>', '$', '(', '#']).map(str::trim);
    for part in parts {
        // Variables may come first.
        let part = match part.split_once(" -- ") {
            Some((other, part)) if other.starts_with("kubectl ") => part,
            _ => part,
        };
        let mut words = part.split_whitespace().skip_while(|word| word.contains('='));
        if words.next() != Some("hermes") {
            continue;
        }
        let mut command = Vec::new();
        let mut value_of_global = false;
        for word in words {
            if std::mem::take(&mut value_of_global) {
                continue;
            }
            let help = &tree[&command];
            let name = word.trim_end_matches(',');
            if word.starts_with('-') {
                value_of_global = ["-p", "--profile", "--timeout", "--scandir"].contains(&word);
            } else if command.is_empty() && name == "help" {
                break;
            } else if help.commands.iter().any(|known| known == name) {
                command.push(name.to_owned());
            } else if !help.commands.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()) {
                wrong.push(format!("`{code}`: there is no `{name}`"));
                break;
            } else {
                break;
            }
        }
        let known = &tree[&command].options;
        let unknown = long_options(part).filter(|option| !known.contains(option));
        wrong.extend(unknown.map(|option| format!("`{code}`: there is no `{option}`")));
    }
    wrong
}

/// The sections of a page by the commands in their headings. What comes before is the first's.
fn sections(page: &str) -> Vec<(Vec<String>, String)> {
    let mut sections = vec![(Vec::new(), String::new())];
    for line in page.lines() {
        if line.starts_with('#') {
            let command = line.split('`').nth(1).and_then(|code| code.strip_prefix("hermes "));
            let command = command.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
            sections.push((command.map(str::to_owned).collect(), String::new()));
        }
        let (_, text) = sections.last_mut().expect("the one before all headings");
        text.push_str(line);
        text.push('\n');
    }
    sections
}

#[test]
fn every_command_and_option_has_its_place() {
    let tree = tree();
    let common = &tree[&Vec::new()].options;
    let stated = table(&read(COMMON), "Options of every command");
    let mut wrong = Vec::new();
    let documented: BTreeSet<_> = stated.keys().flat_map(|cell| long_options(cell)).collect();
    for option in common.symmetric_difference(&documented) {
        wrong.push(format!("{COMMON}: `{option}`"));
    }
    let groups = PAGES.iter().flat_map(|(_, groups)| groups.iter().copied());
    let groups: Vec<_> = groups.chain(SHORT.map(|(short, _)| short)).collect();
    for (short, long) in SHORT {
        let options = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            &tree[&words].options
        };
        assert_eq!(options(&[short]), options(&["gateway", long]), "{short}");
    }
    assert_eq!(
        groups.iter().copied().collect::<BTreeSet<_>>(),
        tree[&Vec::new()].commands.iter().map(String::as_str).collect()
    );
    for (path, groups) in PAGES {
        let sections = sections(&read(path));
        let commands = tree.iter().filter(|(words, help)| {
            help.commands.is_empty() && words.first().is_some_and(|w| groups.contains(&w.as_str()))
        });
        for (words, help) in commands {
            let name = words.join(" ");
            let Some((_, text)) = sections.iter().find(|(command, _)| command == words) else {
                wrong.push(format!("{path}: no section about `{name}`"));
                continue;
            };
            // A list item that begins with an option documents it.
            let items = text.lines().filter(|line| line.starts_with("* `-"));
            let items = items.filter_map(|line| line.split_once(": ").map(|(head, _)| head));
            let documented: BTreeSet<_> = items.flat_map(long_options).collect();
            let own: BTreeSet<_> = help.options.difference(common).cloned().collect();
            let differ = own.symmetric_difference(&documented);
            wrong.extend(differ.map(|option| format!("{path}: `{option}` of `{name}`")));
        }
    }
    assert!(wrong.is_empty(), "missing, or not there any more:\n{}", wrong.join("\n"));
}

#[test]
fn no_page_names_what_is_not_there() {
    let tree = tree();
    let common = &tree[&Vec::new()].options;
    let mut wrong = Vec::new();
    let others = [COMMON, ENVIRONMENT, HOSTS, KUBERNETES, SCALE, SECURITY, README];
    let paths = PAGES.iter().map(|(path, _)| *path).chain(others);
    for path in paths {
        let page = read(path);
        let mut of_page = common.clone();
        let heads = sections(&page);
        for (command, _) in heads.iter().filter(|(command, _)| !command.is_empty()) {
            match tree.get(command) {
                Some(help) => of_page.extend(help.options.iter().cloned()),
                None => wrong.push(format!("{path}: there is no `hermes {}`", command.join(" "))),
            }
        }
        // These are about all commands.
        if others.contains(&path) {
            of_page.extend(tree.values().flat_map(|help| help.options.iter().cloned()));
        }
        for code in code(&page) {
            wrong.extend(misuse(&code, &tree).into_iter().map(|what| format!("{path}: {what}")));
            if code.starts_with("--") {
                let unknown = long_options(&code).filter(|option| !of_page.contains(option));
                wrong.extend(unknown.map(|option| format!("{path}: there is no `{option}` here")));
            }
        }
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let file = root().join(path).with_file_name(file);
            if !link.contains("://") && !link.starts_with('#') && !file.exists() {
                wrong.push(format!("{path}: there is no page `{link}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_state_is_explained() {
    let states: BTreeSet<_> = State::ALL.iter().map(State::to_string).collect();
    for (path, heading) in [("docs/commands/gateway.md", "States"), (README, "What a state means")]
    {
        let documented: BTreeSet<_> = table(&read(path), heading).into_keys().collect();
        assert_eq!(documented, states, "{path}");
    }
}

#[test]
fn every_exit_code_is_explained() {
    let codes = of_help("Exit codes:");
    assert!(codes.contains("0") && codes.contains("78"), "{codes:?}");
    let documented: BTreeSet<_> = table(&read(COMMON), "Exit codes").into_keys().collect();
    assert_eq!(documented, codes);
}

#[test]
fn every_variable_is_explained() {
    let variables = of_help("Environment:");
    assert!(variables.contains("HERMES_HOME"), "{variables:?}");
    let page = read(ENVIRONMENT);
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<_> =
        rows.filter(|name| name.starts_with("HERMES_")).map(str::to_owned).collect();
    assert_eq!(documented, variables);
    // Other pages name only existing variables, and those of the Python agent.
    for path in PAGES.map(|(path, _)| path).into_iter().chain([KUBERNETES, SCALE]) {
        let page = read(path);
        let words = page.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for name in words.filter(|word| word.starts_with("HERMES_")) {
            assert!(variables.contains(name), "{path}: there is no `{name}`");
        }
    }
}
