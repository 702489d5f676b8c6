//! `hermes gateway logs`: what a gateway said, from the directory that s6-log keeps.
//!
//! Source: `s6-log.html`. Archives are named `@<TAI64N>.s` (or `.u` after a crash of the logger), so
//! their names sort by time; `previous` is being archived; `current` is being written.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::ProfileName;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(
    app: &App,
    name: Option<ProfileName>,
    lines: Option<usize>,
) -> Result<u8, CliError> {
    let name = name.map_or_else(|| app.profile(), Ok)?;
    app.store.get(&name)?;
    let directory = app.root().gateway_logs(&name);
    let failed = |error: io::Error| {
        CliError::new(format!("failed to read the log of `{name}`")).because(error)
    };
    let files = files(&directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            CliError::new(format!("the gateway of `{name}` has not logged anything"))
                .hint(format!("`hermes gateway start {name}` starts it"))
        }
        _ => failed(error),
    })?;
    let print = |line: &[u8]| match app.json {
        true => print_json(&name, line),
        false => output::raw(line),
    };
    let mut last = VecDeque::new();
    for file in files {
        each_line(file, failed, |line| {
            let Some(lines) = lines else { return print(line) };
            last.push_back(line.to_owned());
            if last.len() > lines {
                last.pop_front();
            }
            Ok(())
        })?;
    }
    last.iter().try_for_each(|line| print(line))?;
    Ok(exit::SUCCESS)
}

fn print_json(name: &ProfileName, line: &[u8]) -> Result<(), CliError> {
    let text = String::from_utf8_lossy(line);
    output::line(serde_json::json!({ "profile": name, "line": text.trim_end_matches('\n') }))
}

/// The files of a log directory, oldest first, open. The current one is opened before the archives
/// are listed: what is rotated in between is then there twice and told once, and never missed.
fn files(directory: &Path) -> io::Result<Vec<fs::File>> {
    let current = open(&directory.join("current"))?;
    let identity = |file: &fs::File| file.metadata().map(|m| (m.dev(), m.ino()));
    let mut archives = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('@')) {
            archives.push(path);
        }
    }
    archives.sort();
    archives.push(directory.join("previous"));
    let mut files = Vec::new();
    for path in archives {
        let Some(file) = open(&path)? else { continue };
        let rotated = match &current {
            Some(current) => identity(current)? == identity(&file)?,
            None => false,
        };
        if !rotated {
            files.push(file);
        }
    }
    files.extend(current);
    Ok(files)
}

/// A file that was removed in between is not there any more.
fn open(path: &Path) -> io::Result<Option<fs::File>> {
    match fs::File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn each_line(
    file: impl Read,
    failed: impl Fn(io::Error) -> CliError,
    mut act: impl FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(&failed)? > 0 {
        act(&line)?;
        line.clear();
    }
    Ok(())
}
