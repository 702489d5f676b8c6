//! Opens a file in the user's browser.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program that ends with an error after this time has opened the file: a browser may stay in the foreground.
const STARTED: Duration = Duration::from_secs(20);

/// A program and its arguments; `%s` stands for the file, which is else the last argument.
pub(crate) type Program = Vec<String>;

/// The programs that open a file, to be tried one after the other: those in `BROWSER`, separated by colons, else the
/// desktop's if there is one. `variable` returns the value of an environment variable.
pub(crate) fn programs(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Program> {
    if let Some(list) = variable("BROWSER") {
        let list = list.to_string_lossy();
        let programs = list.split(':').map(|program| words(program.split_whitespace()));
        return programs.filter(|program| !program.is_empty()).collect();
    }
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| variable(name).is_some());
    match (cfg!(target_os = "macos"), has_desktop) {
        (true, _) => vec![words(["open"])],
        (false, true) => vec![words(["xdg-open"])],
        (false, false) => Vec::new(),
    }
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Program {
    words.into_iter().map(str::to_owned).collect()
}

/// Opens `file` with the first of `programs` that does, on another thread. Calls `failed` with the last error if none does.
pub(crate) fn open(
    programs: Vec<Program>,
    file: PathBuf,
    failed: impl FnOnce(String) + Clone + Send + 'static,
) {
    let report = failed.clone();
    let started = thread::Builder::new().name("browser".to_owned()).spawn(move || {
        let errors = programs.iter().map_while(|program| run(program, &file).err());
        let errors: Vec<_> = errors.collect();
        if errors.len() == programs.len() {
            failed(errors.join(", "));
        }
    });
    if let Err(error) = started {
        report(error.to_string());
    }
}

/// Runs a program until it ends. The error names it.
fn run(program: &Program, file: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let status = command(program, file).status();
    match status {
        Ok(status) if status.success() || begun.elapsed() > STARTED => Ok(()),
        Ok(status) => Err(format!("`{}` ended with {status}", program[0])),
        Err(error) => Err(format!("failed to run `{}`: {error}", program[0])),
    }
}

fn command(program: &Program, file: &Path) -> Command {
    let mut command = Command::new(&program[0]);
    let arguments = &program[1..];
    for argument in arguments {
        match argument.split_once("%s") {
            None => command.arg(argument),
            Some((before, after)) => {
                let mut whole = OsString::from(before);
                whole.push(file);
                whole.push(after);
                command.arg(whole)
            }
        };
    }
    if !arguments.iter().any(|argument| argument.contains("%s")) {
        command.arg(file);
    }
    // Ctrl-C in the terminal ends the dashboard and leaves the browser alone.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_browsers_come_before_the_desktops() {
        let with = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(known, _)| *known == name);
            programs(|name| value(name).map(|(_, value)| OsString::from(value)))
        };
        let both = with(&[("BROWSER", "firefox --new-window %s: w3m:"), ("DISPLAY", ":0")]);
        assert_eq!(both, [words(["firefox", "--new-window", "%s"]), words(["w3m"])]);
        if cfg!(not(target_os = "macos")) {
            assert_eq!(with(&[("WAYLAND_DISPLAY", "wayland-0")]), [words(["xdg-open"])]);
            assert_eq!(with(&[]), [] as [Program; 0]);
        }
    }

    #[test]
    fn the_file_takes_its_place_among_the_arguments() {
        let arguments = |program: &[&str]| {
            let command = command(&words(program.iter().copied()), Path::new("/a b.html"));
            command.get_args().map(|it| it.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(arguments(&["firefox"]), ["/a b.html"]);
        assert_eq!(arguments(&["firefox", "--url=%s", "-x"]), ["--url=/a b.html", "-x"]);
    }
}
