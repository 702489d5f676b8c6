//! What may be typed. Nothing here is looked up or decided.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hermes_core::ProfileName;

/// Supervises the gateways of many agent profiles: under s6 in a container, under systemd or
/// launchd on a host.
#[derive(Debug, Parser)]
#[command(name = "hermes", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes, anywhere on the line.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The profile, where a command names none
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<ProfileName>,
    /// The s6 scan directory that holds the gateways' slots
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) scandir: Option<PathBuf>,
    /// The system's service manager, and not this user's own (systemd)
    #[arg(long, global = true)]
    pub(crate) system: bool,
    /// How long to wait for anything, in seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, delete and look at profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Start, stop and look at gateways
    #[command(subcommand)]
    Gateway(Gateway),
    /// Run a supervision tree in the foreground, for the current user
    Up {
        /// End the tree that runs on the scan directory
        #[arg(long)]
        stop: bool,
        /// Be a service of another supervisor, as in the image: gateways get the root home as HOME,
        /// and standard input, if it is a pipe, is told when the tree takes commands
        #[arg(long, conflicts_with = "stop")]
        service: bool,
        /// As `--service`, on the s6-svscan that holds the scan directory already
        #[arg(long, conflicts_with_all = ["stop", "service"])]
        adopt: bool,
        /// Become s6-svscan: what `up` starts itself as
        #[arg(long, hide = true, value_name = "PARENT", conflicts_with = "stop")]
        become_svscan: Option<u32>,
    },
    /// Bring the slots in line with the profiles, and start what is wanted
    Boot {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// How many gateways to start at once
        #[arg(long, value_name = "N", default_value_t = hermes_core::supervisor::DEFAULT_JOBS)]
        jobs: usize,
        /// As root: give the scan directory to the owner of the home, and do nothing else
        #[arg(long, conflicts_with = "dry_run")]
        delegate: bool,
    },
    /// Check what the gateways need, and say how to mend it
    ///
    /// Exits with 1 if something is wrong that keeps a gateway, a command or a profile from working,
    /// and with 0 otherwise: warnings and checks that could not be made alone are no failure.
    Doctor {
        /// First mend what can be mended without stopping a gateway that runs: leftovers, missing and
        /// unused slots, outdated slots that are down, wanted gateways that are down, open .env files
        #[arg(long)]
        fix: bool,
        /// Only say, in one line, whether every wanted gateway is up; exits with 1 if one is not. What a
        /// container's health check runs
        #[arg(long, conflicts_with = "fix")]
        health: bool,
    },
    /// Serve a page that shows all gateways, live, and starts and stops them
    Dashboard {
        /// The address to listen on; otherwise HERMES_DASHBOARD_HOST, else 127.0.0.1
        #[arg(long, value_name = "ADDRESS")]
        host: Option<String>,
        /// The port to listen on, 0 for any; otherwise HERMES_DASHBOARD_PORT, else 9119
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
        /// Where browsers find it behind a proxy, like `https://hermes.example`; otherwise
        /// HERMES_DASHBOARD_ORIGIN
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
    },
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write all of them
    Man {
        /// Write a page per command into this directory
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Make a profile and register its gateway
    Create {
        name: ProfileName,
        /// The port of its gateway; otherwise the lowest that no profile names, from 8642 up
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Start its gateway
        #[arg(long)]
        start: bool,
    },
    /// Stop and unregister a profile's gateway and remove all of it
    Delete {
        name: ProfileName,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
        /// Keep the logs of its gateway
        #[arg(long)]
        keep_logs: bool,
    },
    /// Give a profile another name, with its gateway, its logs and what was wanted of it
    Rename {
        /// Its name
        #[arg(value_name = "OLD")]
        from: ProfileName,
        /// What it is to be called
        #[arg(value_name = "NEW")]
        to: ProfileName,
    },
    /// List all profiles
    List,
    /// Show one profile
    Show { name: Option<ProfileName> },
    /// Choose the profile that interactive commands mean when they name none
    Use { name: ProfileName },
    /// Show a profile's port, or write it into its config.yaml
    Port {
        name: ProfileName,
        /// The port; without it a profile that has none gets the lowest that no other names
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
    },
    /// Write a profile into an archive, without its secrets
    Export {
        name: ProfileName,
        /// The archive, which ends in .tar.zst or .tar.gz; `-` is standard output. Otherwise it is
        /// NAME.tar.zst, here
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Make a profile of an archive and register its gateway
    Import {
        /// The archive, a tar.zst or tar.gz; `-` is standard input
        file: PathBuf,
        /// What to call the profile; otherwise as the directory in the archive
        #[arg(long, value_name = "NAME")]
        name: Option<ProfileName>,
        /// Start its gateway
        #[arg(long)]
        start: bool,
        /// How much it may be when it is unpacked, in bytes or with K, M, G or T behind; otherwise 10G
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
    },
}

/// A number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) if text.ends_with('G') => (digits, 30),
        Some(digits) => (digits, 40),
        None => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "it is no size, like 500M or 20G".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

/// ProfileSelector profiles a command is about.
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
    /// Start gateways, and have them started after every restart
    Start {
        #[command(flatten)]
        which: ProfileSelector,
        /// Be the gateway, instead of having it supervised
        #[arg(long, conflicts_with = "all")]
        foreground: bool,
        /// As launchd's job of this name
        #[arg(long, hide = true, requires = "foreground", value_name = "LABEL")]
        launchd: Option<String>,
    },
    /// The same as `start --foreground`
    #[command(hide = true)]
    Run,
    /// Stop gateways, and leave them down after every restart
    Stop {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Stop gateways and start them again
    Restart {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Show what the supervisor says
    Status {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// List the gateways that have a service
    List,
    /// Print what gateways said; that of several in the order of time, each line with its profile
    ///
    /// On a terminal whatever could change what it shows is escaped. With --json each line is an
    /// object of its own: profile, time, line; what is not UTF-8 in a line is replaced.
    Logs {
        #[command(flatten)]
        which: ProfileSelector,
        /// Only the last N lines of each; with --follow 10 if not said
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<usize>,
        /// Go on with what is said from now on, until interrupted, or for --timeout
        #[arg(short, long)]
        follow: bool,
        /// Escape nothing on a terminal
        #[arg(long)]
        raw: bool,
    },
    /// Make the service of a profile; its recorded intent decides whether it comes up
    Register {
        #[command(flatten)]
        which: ProfileSelector,
        /// A variable for the gateway's environment, until it is registered anew; `gateway.env` in
        /// config.yaml lasts
        #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// Start the gateway
        #[arg(long)]
        start: bool,
        /// Make anew what was registered before, one after the other; with --all, what another version
        /// made
        #[arg(long)]
        refresh: bool,
    },
    /// Stop a gateway and remove its service; the recorded intent stays
    Unregister {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Install gateways in this machine's service manager: it brings up what is wanted when it starts
    Install {
        #[command(flatten)]
        which: ProfileSelector,
        /// Start the gateway
        #[arg(long)]
        start: bool,
    },
    /// Stop gateways and remove what was installed of them; the recorded intent stays
    Uninstall {
        #[command(flatten)]
        which: ProfileSelector,
    },
    /// Exit with 0 if the gateway is wanted, with 1 if not: what a unit asks before it starts
    #[command(hide = true)]
    Wanted,
    /// Ask a gateway's address until it is ready: what `start --foreground` starts beside a program
    #[command(hide = true)]
    AwaitReady {
        /// The address
        url: String,
        /// The gateway's process
        #[arg(long)]
        pid: u32,
        /// Tell of it in this file
        #[arg(long)]
        file: Option<PathBuf>,
        /// Start the process that asks, and end
        #[arg(long)]
        detach: bool,
    },
    /// Decide what follows a death: what a slot's `finish` calls
    #[command(hide = true)]
    AfterDeath {
        /// Divides every delay of the policy, for tests that can't wait
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

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    hermes_core::shell::check_variable(name, value).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_profile_may_stand_anywhere() {
        for line in [
            "hermes -p a gateway status",
            "hermes gateway -p a status",
            "hermes gateway status -p a",
            "hermes gateway status --profile=a",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.global.profile.unwrap().as_str(), "a", "{line}");
        }
    }

    #[test]
    fn a_variable_is_a_name_and_a_value() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        for wrong in ["A", "=b", "a b=c", "1A=b", "HERMES_HOME=/x"] {
            assert!(variable(wrong).is_err(), "{wrong}");
        }
    }
}
