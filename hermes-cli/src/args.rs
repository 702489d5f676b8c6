//! The command line: commands, options and their help texts. It is only parsed here; `commands` acts on it.

mod adopt;
mod events;
pub(crate) mod gateway;
mod time;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hermes_core::ProfileName;
use hermes_core::archive::Include;
use hermes_core::size;

pub(crate) use self::adopt::Adopt;
pub(crate) use self::events::Events;
pub(crate) use self::gateway::Gateway;
use self::values::{number, port};
use crate::reference;

/// Supervises the gateways of many agent profiles: under s6 in a container, under systemd or
/// launchd on a host.
#[derive(Debug, Parser)]
#[command(name = "hermes", version, after_long_help = reference::TEXT)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes, anywhere on the line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The profile, if the command names none
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<ProfileName>,
    /// The s6 scan directory with the gateways' service directories
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) scandir: Option<PathBuf>,
    /// Use the system's systemd instead of this user's own
    #[arg(long, global = true)]
    pub(crate) system: bool,
    /// The deadline of every wait, in seconds
    #[arg(long, global = true, value_name = "SECONDS", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<u64>(text, 1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

// Deferred, as in every group below: a command line needs the options of one command, and builds no other's.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Like `gateway status`
    Status(gateway::Status),
    /// Like `gateway list`
    Ps,
    /// Like `gateway start`
    Start(gateway::Start),
    /// Like `gateway stop`
    Stop(ProfileSelector),
    /// Like `gateway restart`
    Restart(gateway::Restart),
    /// Like `gateway logs`
    Logs(gateway::Logs),
    /// Show the states of gateways and what they use, again and again
    ///
    /// On a terminal each picture replaces the one before, until Ctrl-C.
    Top(Top),
    /// Create, list, rename, delete, export and import profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Start, stop and inspect gateways
    #[command(subcommand)]
    Gateway(Gateway),
    /// Show, check and edit the configuration of gateways
    #[command(subcommand)]
    Config(Config),
    /// Print what happened to gateways, and why: starts, deaths, parkings, mends and more
    ///
    /// The journal has the last events, some thousands. Under systemd and launchd, delays, hangs and mends are not in
    /// it. With --json each event is an object with `time`, `profile`, `event` and `why`.
    Events(Events),
    /// Run a supervision tree for the current user, in the foreground or with -d in the background
    Up {
        /// Run in the background, and return when the tree is up; its messages go to logs/up.log
        #[arg(short, long, conflicts_with_all = ["stop", "service", "adopt"])]
        detach: bool,
        /// Lead a session; `up --detach` starts itself with this option
        #[arg(long, hide = true, conflicts_with_all = ["detach", "stop"])]
        session_leader: bool,
        /// Like `down`
        #[arg(long)]
        stop: bool,
        /// Run as a service of another supervisor, as in the image: gateways get the root home as
        /// HOME, and a newline is written to standard input, if it is a pipe, once the tree is ready
        #[arg(long, conflicts_with = "stop")]
        service: bool,
        /// Like `--service`, but use the s6-svscan that already holds the scan directory
        #[arg(long, conflicts_with_all = ["stop", "service"])]
        adopt: bool,
        /// Become s6-svscan; `up` starts itself with this option
        #[arg(long, hide = true, value_name = "PARENT", conflicts_with = "stop")]
        become_svscan: Option<u32>,
    },
    /// Stop the supervision tree that `up` runs on the scan directory
    Down,
    /// Bring the services in line with the profiles, and start each gateway whose intent is `running`
    Boot {
        /// Print the plan and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Maximum number of gateways that start at the same time
        #[arg(long, value_name = "N", default_value_t = hermes_core::supervisor::DEFAULT_JOBS)]
        #[arg(allow_negative_numbers = true, value_parser = |text: &str| number::<usize>(text, 1..=u64::MAX))]
        jobs: usize,
        /// As root: give the scan directory to the owner of the home, and nothing else
        #[arg(long, conflicts_with = "dry_run")]
        delegate: bool,
    },
    /// Take over gateways of the Python agent that run outside of any supervisor
    ///
    /// Prints a plan, then stops each in the agent's own way, starts it supervised, and checks that it serves what it
    /// served before. If one fails, all of them are put back. Without names: every profile whose home is the agent's.
    Adopt(Adopt),
    /// Check the installation, and print a fix for each problem
    ///
    /// Exits with 1 if it finds an error: a problem that keeps a gateway, a command or a profile from
    /// working. Warnings, and checks that could not be made, leave the exit code at 0.
    Doctor {
        /// First make the repairs that stop no running gateway: leftovers, missing and unused slots,
        /// outdated slots of stopped gateways, gateways that should run, .env files that others can read
        #[arg(long)]
        fix: bool,
        /// Only check that every gateway whose intent is `running` is up and ready: one line, exit code
        /// 0 or 1. For health checks of containers
        #[arg(long, conflicts_with = "fix")]
        health: bool,
    },
    /// Serve a web page that shows all gateways live, and starts and stops them
    Dashboard {
        /// The address to listen on [default: HERMES_DASHBOARD_HOST, else 127.0.0.1]
        #[arg(long, value_name = "ADDRESS")]
        host: Option<String>,
        /// The port to listen on, 0 for any free one [default: HERMES_DASHBOARD_PORT, else 9119]
        #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
        #[arg(value_parser = |text: &str| number::<u16>(text, 0..=65_535))]
        port: Option<u16>,
        /// The URL of the page behind a reverse proxy, like `https://hermes.example/hermes`; may be given
        /// several times [default: HERMES_DASHBOARD_ORIGIN]
        #[arg(long = "origin", value_name = "URL")]
        origins: Vec<String>,
        /// Open the page in the browser, signed in: the program in BROWSER, else the desktop's
        #[arg(long)]
        open: bool,
        /// Overrides `--open`. Compose files of the Python agent pass it
        #[arg(long, hide = true, overrides_with = "open")]
        no_open: bool,
        /// Has no effect: the token is always required
        #[arg(long, hide = true)]
        insecure: bool,
        /// Likewise: there is nothing to build
        #[arg(long, hide = true)]
        skip_build: bool,
    },
    /// Run a command of the Python agent, also one whose name Hermes has, too
    Agent {
        /// The agent's arguments
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// The text of `hermes help TOPIC`, which is no command for the parser
    #[command(skip)]
    Topic(String),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// Write one page per command into this directory
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

impl Command {
    /// Whether its output is a stream of lines, which `--json` makes objects.
    pub(crate) fn prints_lines(&self) -> bool {
        matches!(self, Self::Gateway(Gateway::Logs(_)) | Self::Logs(_) | Self::Events(_))
    }
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Profile {
    /// Create a profile and register its gateway
    Create {
        /// The profile
        name: ProfileName,
        /// The port of its gateway [default: the lowest free one from 8643 up]
        #[arg(long, value_name = "PORT", allow_negative_numbers = true, value_parser = port)]
        port: Option<u16>,
        /// Start its gateway
        #[arg(long)]
        start: bool,
        /// Copy configuration, secrets, SOUL.md, skills and memories of this profile
        #[arg(long, value_name = "OTHER")]
        clone_from: Option<ProfileName>,
    },
    /// Stop and unregister a profile's gateway, and remove its home and logs
    Delete {
        /// The profile
        name: ProfileName,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
        /// Keep the logs of its gateway
        #[arg(long)]
        keep_logs: bool,
    },
    /// Rename a profile, with its home, logs, gateway and intent
    Rename {
        /// The present name
        #[arg(value_name = "OLD")]
        from: ProfileName,
        /// The new name
        #[arg(value_name = "NEW")]
        to: ProfileName,
    },
    /// List all profiles
    List,
    /// Show one profile
    Show {
        /// The profile
        name: Option<ProfileName>,
    },
    /// Set the default profile of interactive commands
    Use {
        /// The profile
        name: ProfileName,
    },
    /// Print a profile's port, or write it into its config.yaml
    ///
    /// The port is written everywhere at once: on a home of the Python agent's, its line is taken out of .env, and each
    /// key in config.yaml that names a port gets the same one.
    Port {
        /// The profile
        name: ProfileName,
        /// The port [default: the profile's own, else the lowest free one]
        #[arg(allow_negative_numbers = true, value_parser = port)]
        port: Option<u16>,
        /// Print every place that names the port, which one wins, and who else has the port
        #[arg(long, conflicts_with = "port")]
        explain: bool,
    },
    /// Make a command for a profile: `~/.local/bin/NAME`, which is `hermes -p NAME`
    Alias {
        /// The profile
        name: ProfileName,
        /// Remove it
        #[arg(long)]
        remove: bool,
    },
    /// Write a profile to an archive, without its secrets
    Export {
        /// The profile
        name: ProfileName,
        /// The archive, ending in .tar.zst or .tar.gz; `-` is standard output [default: NAME.tar.zst in
        /// the working directory]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace an existing file
        #[arg(long)]
        force: bool,
        /// Take this entry of the home, too (repeatable); a secret only if PATH names it
        #[arg(long, value_name = "PATH")]
        include: Vec<Include>,
    },
    /// Create a profile from an archive and register its gateway
    Import {
        /// The archive, a tar.zst or tar.gz; `-` is standard input
        file: PathBuf,
        /// The profile's name [default: the name of the directory in the archive]
        #[arg(long, value_name = "NAME")]
        name: Option<ProfileName>,
        /// Start its gateway
        #[arg(long)]
        start: bool,
        /// Maximum unpacked size in bytes (suffixes K, M, G, T) [default: 10G]
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        max_size: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Config {
    /// Print Hermes's keys in a profile's config.yaml, without secrets
    Show {
        /// The profile
        name: Option<ProfileName>,
        /// Print all keys as they count, each with what set it, and the program that runs
        #[arg(long)]
        effective: bool,
    },
    /// Check the configuration of a profile, or of all
    ///
    /// Exits with 1 if a gateway could not start with its configuration.
    Check {
        /// The profile [default: all]
        name: Option<ProfileName>,
    },
    /// Edit a profile's config.yaml, which is replaced once the text can be used
    ///
    /// The editor is that of VISUAL or EDITOR, else vi. The root home's file is that of `default`.
    Edit {
        /// The profile
        name: Option<ProfileName>,
    },
}

/// `hermes top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The profiles [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) which: Vec<ProfileName>,
    /// Seconds between two pictures
    #[arg(short, long, value_name = "SECONDS", default_value_t = 2, allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<u64>(text, 1..=86_400))]
    pub(crate) interval: u64,
    /// Print so many pictures, one below the other, and end
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<u64>(text, 1..=u64::MAX))]
    pub(crate) count: Option<u64>,
}

/// The profiles that a command works on.
#[derive(Debug, Args)]
pub(crate) struct ProfileSelector {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// All profiles
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

#[cfg(test)]
mod tests;
