//! The command line: commands, options and their help texts. It is only parsed here; `commands` acts on it.

mod events;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hermes_core::ProfileName;
use hermes_core::archive::Include;
use hermes_core::size;

pub(crate) use self::events::Events;
use self::values::{number, port, variable};
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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, rename, delete, export and import profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Start, stop and inspect gateways
    #[command(subcommand)]
    Gateway(Gateway),
    /// Show and check the configuration of gateways
    #[command(subcommand)]
    Config(Config),
    /// Print what happened to gateways, and why: starts, deaths, parkings, mends and more
    ///
    /// The journal has the last events, some thousands. Deaths and what follows them are in it under s6 only. With
    /// --json each event is an object with `time`, `profile`, `event` and `why`.
    Events(Events),
    /// Run a supervision tree in the foreground, for the current user
    Up {
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
        /// The origin that browsers use behind a proxy, like `https://hermes.example` [default:
        /// HERMES_DASHBOARD_ORIGIN]
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
    },
    /// Run a command of the Python agent, also one whose name Hermes has, too
    Agent {
        /// The agent's arguments
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
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
        matches!(self, Self::Gateway(Gateway::Logs { .. }) | Self::Events(_))
    }
}

#[derive(Debug, Subcommand)]
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

#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    /// Start gateways, now and after every restart of the machine or container
    Start {
        #[command(flatten)]
        which: ProfileSelector,
        /// Run the gateway in this process, without a supervisor
        #[arg(long, conflicts_with = "all")]
        foreground: bool,
        /// Run as launchd's job with this label
        #[arg(long, hide = true, requires = "foreground", value_name = "LABEL")]
        launchd: Option<String>,
    },
    /// An alias of `start --foreground`
    #[command(hide = true)]
    Run,
    /// Stop gateways; they stay down after a restart of the machine or container
    Stop {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Stop gateways and start them again
    Restart {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Show the state of gateways
    Status {
        #[command(flatten)]
        which: ProfileSelector,
        /// Also ask the gateways that are up whether they answer, all at once, for two seconds at most
        #[arg(long)]
        probe: bool,
        /// Also measure the memory and the processor time of each gateway with its descendants
        #[arg(long)]
        wide: bool,
    },
    /// List the gateways that have a service
    List,
    /// Print the logs of gateways; several are merged by time, each line with its profile
    ///
    /// On a terminal, control characters and escape sequences are escaped. With --json each line is an
    /// object with `profile`, `time` and `line`; bytes that are not valid UTF-8 are replaced.
    Logs {
        #[command(flatten)]
        which: ProfileSelector,
        /// Print only the last N lines of each log [default: all, with --follow 10]
        #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
        #[arg(value_parser = |text: &str| number::<usize>(text, 0..=u64::MAX))]
        lines: Option<usize>,
        /// Keep printing new lines, until interrupted or until --timeout
        #[arg(short, long)]
        follow: bool,
        /// Print control characters and escape sequences as they are
        #[arg(long)]
        raw: bool,
    },
    /// Create the services of profiles; the intent decides whether a gateway starts
    Register {
        #[command(flatten)]
        which: ProfileSelector,
        /// Set a variable in the gateway's environment until the next registration; `gateway.env` in
        /// config.yaml is permanent
        #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// Start the gateways, too
        #[arg(long)]
        start: bool,
        /// Replace existing services, one after the other; with --all, only those that another version
        /// of Hermes rendered
        #[arg(long)]
        refresh: bool,
    },
    /// Stop gateways and remove their services; the intent stays
    Unregister {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Install gateways as services of the host (systemd, launchd), started with the machine
    Install {
        #[command(flatten)]
        which: ProfileSelector,
        /// Start the gateways, too
        #[arg(long)]
        start: bool,
    },
    /// Stop gateways and remove their services from the host; the intent stays
    Uninstall {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Exit with 0 if the intent is `running`, else with 1; each unit runs this before it starts
    #[command(hide = true)]
    Wanted,
    /// Record a death; each unit runs this after it ended
    #[command(hide = true)]
    Ended,
    /// Poll a gateway's ready_url until it answers; `start --foreground` runs this beside a program
    #[command(hide = true)]
    AwaitReady {
        /// The ready_url
        url: String,
        /// The gateway's process
        #[arg(long)]
        pid: u32,
        /// Seconds that an answer may take, after the first requests
        #[arg(long)]
        answer_within: Option<u64>,
        /// Record in this file why it is not ready
        #[arg(long)]
        health: PathBuf,
        /// Report readiness in this file
        #[arg(long)]
        file: Option<PathBuf>,
        /// Poll in a background process, and exit
        #[arg(long)]
        detach: bool,
    },
    /// Decide what follows a death; a slot's `finish` script runs this
    #[command(hide = true)]
    AfterDeath {
        /// The gateway's process group, which s6 passes to `finish` since 2.12
        group: Option<String>,
        /// Divide every delay of the restart policy, for tests
        #[arg(long, env = hermes_core::home::env::TEST_FASTER, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        faster: u32,
    },
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
