//! `hermes profile export` and `import`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use hermes_core::archive::{Archive, ArchiveError, Format, Include, LeftOut, Limits, Packed, Why};
use hermes_core::config::SecretKey;
use hermes_core::process_lock;
use hermes_core::store::{Profile, StoreError};
use hermes_core::{Gateway, ProfileName, ProfileRegistrar};
use hermes_core::{config, fsutil, settings};

use super::new;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

pub(super) fn export(
    app: &App,
    name: &ProfileName,
    include: &[Include],
    output: Option<PathBuf>,
    force: bool,
) -> Result<u8, CliError> {
    let profile = app.store().get(name)?;
    let to = output.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.zst")));
    if to == Path::new("-") {
        return export_to_stdout(app, &profile, include);
    }
    let format = Format::of_name(&to).ok_or_else(|| {
        CliError::new(format!("invalid archive name `{}`", to.display()))
            .with_hint("the name must end in .tar.zst or .tar.gz")
            .with_code(exit::USAGE)
    })?;
    let packed = app.store().export(&profile, include, &to, format, force)?;
    let path = to.display();
    output::message(format_args!("exported profile `{name}` to `{path}`, {}", amount(&packed)));
    report_left_out(&packed.left_out);
    warn(&profile);
    if app.json {
        let left_out = |left: &LeftOut| serde_json::json!({ "path": left.path.to_string_lossy(), "why": left.to_string() });
        output::json(&serde_json::json!({
            "profile": name,
            "file": to.to_string_lossy(),
            "files": packed.files,
            "bytes": packed.bytes,
            "left_out": packed.left_out.iter().map(left_out).collect::<Vec<_>>(),
        }))?;
    }
    Ok(exit::SUCCESS)
}

fn export_to_stdout(app: &App, profile: &Profile, include: &[Include]) -> Result<u8, CliError> {
    let mut stdout = io::stdout().lock();
    let refused = |reason: &'static str| {
        let error = CliError::new("failed to write the archive to stdout").because(reason);
        Err(error.with_hint("`-o FILE` names a file").with_code(exit::USAGE))
    };
    if app.json {
        return refused("--json prints to stdout too");
    }
    if stdout.is_terminal() {
        return refused("stdout is a terminal");
    }
    match app.store().export_to(profile, include, &mut stdout, Format::Zstd) {
        Ok(packed) => report_left_out(&packed.left_out),
        // The reader has closed the pipe on purpose.
        Err(StoreError::Export { source: ArchiveError::Write { source, .. }, .. })
            if source.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error.into()),
    }
    warn(profile);
    Ok(exit::SUCCESS)
}

/// Reports every entry that is not in the archive.
fn report_left_out(left_out: &[LeftOut]) {
    for (why, title) in [
        (Why::Secret, "secrets"),
        (Why::NotOwn, "not part of the profile"),
        (Why::Unlisted, "not known to be safe to share"),
        (Why::Trace, "state of the gateway"),
    ] {
        let named = left_out.iter().filter(|left| left.why == why);
        let named: Vec<_> = named.map(|left| format!("`{}`", left.path.display())).collect();
        if !named.is_empty() {
            output::message(format_args!("left out, {title}: {}", named.join(", ")));
        }
    }
    if left_out.iter().any(|left| left.why == Why::Unlisted) {
        output::message(format_args!("`--include PATH` takes an entry that was left out"));
    }
    for left in left_out {
        if matches!(left.why, Why::Special | Why::Refused(_)) {
            output::warning(format_args!("left out: {left}"));
        }
    }
}

/// Warns of what matters before the archive is given away or relied upon.
fn warn(profile: &Profile) {
    if let Ok(Some(_)) = process_lock::holder(&profile.home.gateway_lock()) {
        output::warning(
            "its gateway runs, so databases in the archive may be inconsistent; stop it for an exact copy",
        );
    }
    let env = settings::load(&profile.home).map(|loaded| loaded.gateway.env);
    if env.is_ok_and(|env| !env.is_empty()) {
        output::warning("the archive contains `config.yaml` with the values under `gateway.env`");
    }
    let config = profile.home.config();
    let Ok(text) = fsutil::read_to_string(&config) else { return };
    match config::secret_keys(&text, &config) {
        Ok(keys) => {
            for SecretKey { key, line } in keys {
                output::warning(format_args!(
                    "the archive contains `config.yaml` with the value of `{key}` in line {line}, which looks like a secret"
                ));
            }
        }
        Err(_) => output::warning(
            "the archive contains `config.yaml`, which can't be searched for secrets: it is invalid",
        ),
    }
}

fn amount(packed: &Packed) -> impl Display {
    let files = if packed.files == 1 { "file" } else { "files" };
    format!("{} {files}, {} bytes", packed.files, packed.bytes)
}

pub(super) fn import(
    app: &App,
    file: &Path,
    name: Option<ProfileName>,
    start: bool,
    max_size: Option<u64>,
) -> Result<u8, CliError> {
    let failed = |error: ArchiveError| {
        let hint = error.hint();
        let error = CliError::new(format!("failed to import `{}`", file.display())).because(error);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    };
    let supervisor = app.supervisor()?;
    let limits = max_size.map_or_else(Limits::default, Limits::up_to);
    let archive = Archive::open(open(file)?, limits).map_err(failed)?;
    let name = match name {
        Some(name) => name,
        None => archive.top().parse().map_err(|error| {
            CliError::new(format!("failed to import `{}`", file.display()))
                .because(format!("its directory does not name a profile: {error}"))
                .with_hint("`--name NAME` gives it another name")
        })?,
    };
    supervisor.check_name(&name)?;
    let imported = app.store().import(archive, &name, supervisor.first_intent(start))?;
    let registered = supervisor.register_new(&name)?;
    let port = app.store().port(&imported.profile).ok().flatten();
    let port = port.map_or_else(String::new, |port| format!(", port {port}"));
    output::message(format_args!("imported profile `{name}`{port}"));
    if let Some(taken) = imported.taken_port {
        output::message(format_args!("the archive's port {taken} belongs to another profile"));
    }
    new::finish(app, &supervisor, &Gateway::new(imported.profile), registered, start)
}

/// Opens an archive. Other kinds of files are refused, because reading them could block for ever.
fn open(file: &Path) -> Result<Box<dyn Read>, CliError> {
    if file == Path::new("-") {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let error = CliError::new("failed to read the archive").because("stdin is a terminal");
            return Err(error.with_code(exit::USAGE));
        }
        return Ok(Box::new(stdin.lock()));
    }
    let failed = |error: io::Error| {
        CliError::new(format!("failed to import `{}`", file.display())).because(error)
    };
    let opened = fsutil::open_to_read(file).map_err(failed)?;
    if !opened.metadata().map_err(failed)?.is_file() {
        let error = CliError::new(format!("`{}` is not a file", file.display()));
        return Err(error.with_hint("`-` reads an archive from standard input"));
    }
    Ok(Box::new(opened))
}
