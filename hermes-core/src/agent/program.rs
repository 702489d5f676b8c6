//! The Python agent's program: where it is, and which version.
//!
//! The program is a script: the one that pip makes for a Python package, or a wrapper around it. This Hermes, which has
//! the same name, is a binary, and so is every copy of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;
use thiserror::Error;

use super::State;
use crate::config::{GatewayConfig, GatewayKind};
use crate::fsutil;
use crate::home::{ProfileHome, env};

/// The program's name.
const NAME: &str = "hermes";
/// The versions that were tried, without their last number.
const TRIED: [&str; 3] = ["0.17.", "0.18.", "0.19."];

/// Where to look for the program. The first place that names one decides.
#[derive(Debug, Clone, Default)]
pub struct Places<'a> {
    /// `gateway.program`.
    pub configured: Option<&'a Path>,
    /// `HERMES_AGENT`, if it is set and not empty.
    pub variable: Option<OsString>,
    /// The profile's home, where the agent's gateway recorded its program, and the root home above it.
    pub home: Option<&'a ProfileHome>,
    /// The user's home directory.
    pub user_home: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
}

impl<'a> Places<'a> {
    /// The places for the profile at `home`, whose `gateway.program` is `configured`, in the environment that `variable`
    /// reads.
    pub fn of(
        home: &'a ProfileHome,
        configured: Option<&'a Path>,
        user_home: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let named = variable(env::AGENT).filter(|value| !value.is_empty());
        Self { configured, variable: named, home: Some(home), user_home, path: variable("PATH") }
    }
}

/// What named the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// `gateway.program`.
    Configured,
    /// `HERMES_AGENT`.
    Variable,
    /// `gateway_state.json`: it last ran this home.
    LastRun,
    /// One of the directories that the agent's installers use.
    UsualPlace,
    /// `PATH`.
    Path,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "`gateway.program` names it",
            Self::Variable => "HERMES_AGENT names it",
            Self::LastRun => "it last ran this home",
            Self::UsualPlace => "the agent's installers put it there",
            Self::Path => "it is on PATH",
        })
    }
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its absolute path.
    pub path: PathBuf,
    /// What named it.
    pub found: Found,
    /// The version of the package that it is part of, if that can be seen.
    pub version: Option<String>,
}

impl Program {
    fn new(path: PathBuf, found: Found) -> Self {
        let version = version(&path);
        Self { path, found, version }
    }

    /// Whether this version was tried with Hermes.
    pub fn is_tried(&self) -> bool {
        let version = self.version.as_deref().unwrap_or_default();
        TRIED.iter().any(|tried| version.starts_with(tried))
    }

    /// `path`, a value of `PATH`, led by the directory of the program: the agent looks itself up there.
    pub fn leading(&self, path: Option<OsString>) -> OsString {
        let directory = self.path.parent().unwrap_or(&self.path);
        let mut leading = directory.as_os_str().to_owned();
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            leading.push(":");
            leading.push(path);
        }
        leading
    }
}

/// Why there is no program.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoProgram {
    /// No place has one.
    #[error(
        "the Python agent was found nowhere: name its program, with the full path, as `gateway.program` in config.yaml or in {}",
        env::AGENT
    )]
    Nowhere,
    /// What was named can't be run.
    #[error("{name} is `{}`, which {problem}", path.display())]
    Unusable {
        /// The key or variable that names it.
        name: &'static str,
        /// The value.
        path: PathBuf,
        /// Why it can't be run.
        problem: &'static str,
    },
}

/// Whether a gateway with these settings runs the agent's program.
pub fn is_used_by(settings: &GatewayConfig) -> bool {
    let command = settings.command.iter().flatten();
    let mut filled = command.chain(settings.env.values()).chain(&settings.ready_url);
    settings.kind == GatewayKind::HermesAgent || filled.any(|text| text.contains("{program}"))
}

/// Looks for the agent's program. Starts nothing.
pub fn find(places: &Places<'_>) -> Result<Program, NoProgram> {
    let variable = places.variable.as_deref().map(Path::new);
    let named = [
        ("`gateway.program`", places.configured, Found::Configured),
        (env::AGENT, variable, Found::Variable),
    ];
    for (name, path, found) in named {
        let Some(path) = path else { continue };
        let unusable = |problem| NoProgram::Unusable { name, path: path.to_owned(), problem };
        check(path).map_err(unusable)?;
        return Ok(Program::new(path.to_owned(), found));
    }
    let last_run = places.home.and_then(last_run).into_iter().map(|path| (path, Found::LastRun));
    let usual = usual_places(places).into_iter().map(|path| (path, Found::UsualPlace));
    let on_path = places.path.as_deref().map(on_path).unwrap_or_default();
    let on_path = on_path.into_iter().map(|path| (path, Found::Path));
    let mut all = last_run.chain(usual).chain(on_path);
    let found = all.find(|(path, _)| check(path).is_ok());
    found.map(|(path, found)| Program::new(path, found)).ok_or(NoProgram::Nowhere)
}

/// The program that last ran the home.
fn last_run(home: &ProfileHome) -> Option<PathBuf> {
    let state = State::read(home).ok()??;
    let program = PathBuf::from(state.argv.first()?);
    (state.is_gateways() && program.file_name() == Some(OsStr::new(NAME))).then_some(program)
}

/// Where the agent's installers and its image put it.
fn usual_places(places: &Places<'_>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let source = ["hermes-agent/venv/bin", "hermes-agent/.venv/bin"];
    if let Some(home) = places.home {
        found.extend(source.map(|below| home.root().join(below)));
    }
    if let Some(user) = &places.user_home {
        found.extend(source.map(|below| user.join(".hermes").join(below)));
        let of_user = [
            ".local/share/uv/tools/hermes-agent/bin",
            ".local/share/pipx/venvs/hermes-agent/bin",
            ".local/pipx/venvs/hermes-agent/bin",
            ".local/bin",
        ];
        found.extend(of_user.map(|below| user.join(below)));
    }
    found.extend(["/opt/hermes/.venv/bin", "/opt/hermes-agent/bin"].map(PathBuf::from));
    found.into_iter().map(|directory| directory.join(NAME)).collect()
}

fn on_path(path: &OsStr) -> Vec<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(NAME)).collect()
}

/// Whether `path` is a script that this user may run.
fn check(path: &Path) -> Result<(), &'static str> {
    if !path.is_absolute() {
        return Err("is not an absolute path");
    }
    if !path.exists() {
        return Err("is not there");
    }
    if !path.is_file() || rustix::fs::access(path, Access::EXEC_OK).is_err() {
        return Err("can't be run by this user");
    }
    let mut start = [0; 2];
    let read = fsutil::open_to_read(path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) if &start == b"#!" => Ok(()),
        Ok(()) => Err("is no script, as the agent's program is"),
        Err(_) => Err("can't be read by this user"),
    }
}

/// The version, from the name of the package's metadata beside the program.
fn version(program: &Path) -> Option<String> {
    let program = fs::canonicalize(program).ok()?;
    let lib = program.parent()?.parent()?.join("lib");
    let pythons = fs::read_dir(lib).ok()?.flatten();
    pythons.map(|python| python.path().join("site-packages")).find_map(|packages| {
        let mut entries = fs::read_dir(packages).ok()?.flatten();
        entries.find_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?.strip_prefix("hermes_agent-")?.strip_suffix(".dist-info")?;
            Some(name.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{ProfileName, RootHome};

    fn program(dir: &Path, below: &str, content: &str) -> PathBuf {
        let path = dir.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_first_place_with_a_script_wins() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let root = RootHome::new(dir.join("root"));
        let home = root.profile(&ProfileName::default_profile());
        let path = std::env::join_paths([dir.join("ours"), dir.join("theirs")]).unwrap();
        program(dir, "ours/hermes", "\x7fELF");
        let places = |configured, variable: Option<&Path>| Places {
            configured,
            variable: variable.map(|path| path.as_os_str().to_owned()),
            home: Some(&home),
            user_home: Some(dir.join("user")),
            path: Some(path.clone()),
        };
        let found = |configured, variable| {
            find(&places(configured, variable)).map(|it| (it.path, it.found))
        };
        assert_eq!(found(None, None), Err(NoProgram::Nowhere));
        let on_path = program(dir, "theirs/hermes", "#!/bin/sh\n");
        assert_eq!(found(None, None), Ok((on_path, Found::Path)));
        let usual = program(dir, "user/.hermes/hermes-agent/venv/bin/hermes", "#!/bin/sh\n");
        assert_eq!(found(None, None), Ok((usual, Found::UsualPlace)));
        let last = program(dir, "venv/bin/hermes", "#!/bin/sh\n");
        fs::create_dir_all(
            dir.join("venv/lib/python3.11/site-packages/hermes_agent-0.19.0.dist-info"),
        )
        .unwrap();
        fs::create_dir_all(root.path()).unwrap();
        let argv = [last.to_str().unwrap(), "gateway", "run"];
        let state = serde_json::json!({"kind": "hermes-gateway", "argv": argv});
        fs::write(home.agent_state(), state.to_string()).unwrap();
        assert_eq!(found(None, None), Ok((last.clone(), Found::LastRun)));
        let seen = find(&places(None, None)).unwrap();
        assert!(seen.is_tried(), "{seen:?}");
        let named = program(dir, "named/any", "#!/bin/sh\n");
        assert_eq!(found(None, Some(&named)), Ok((named.clone(), Found::Variable)));
        assert_eq!(found(Some(&last), Some(&named)), Ok((last, Found::Configured)));
    }

    #[test]
    fn every_key_that_is_filled_in_may_use_the_program() {
        for (key, uses) in [
            ("command: [x]", false),
            ("command: ['{program}']", true),
            ("command: [x]\n  env: {A: '{program}'}", true),
            ("command: [x]\n  ready_url: 'http://x/{program}'", true),
            ("kind: hermes-agent", false),
        ] {
            let text = format!("gateway:\n  {key}\n");
            let settings = crate::config::parse(&text, Path::new("/x")).unwrap().gateway;
            assert_eq!(is_used_by(&settings), uses, "{key}");
        }
    }

    #[test]
    fn a_named_program_that_can_not_be_run_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let binary = program(dir.path(), "hermes", "\x7fELF");
        let closed = program(dir.path(), "closed", "#!/bin/sh\n");
        fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o600)).unwrap();
        for (path, problem) in [
            (dir.path().join("absent"), "is not there"),
            (binary, "is no script, as the agent's program is"),
            (closed, "can't be run by this user"),
            ("hermes".into(), "is not an absolute path"),
        ] {
            let places = Places { variable: Some(path.clone().into()), ..Places::default() };
            let name = env::AGENT;
            assert_eq!(find(&places), Err(NoProgram::Unusable { name, path, problem }));
        }
    }
}
