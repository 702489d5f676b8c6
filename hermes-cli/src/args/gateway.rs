//! The arguments of `hermes gateway`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hermes_core::log::Regex;
use hermes_core::restart::Policy;
use jiff::Timestamp;

use super::ProfileSelector;
use super::time::time;
use super::values::{number, variable};

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Gateway {
    /// Start gateways, now and after every restart of the machine or container
    Start(Start),
    /// An alias of `start --foreground`
    #[command(hide = true)]
    Run,
    /// Stop gateways; they stay down after a restart of the machine or container
    Stop(ProfileSelector),
    /// Stop gateways and start them again
    Restart(Restart),
    /// Show the state of gateways: of all, or of the named ones
    ///
    /// One gateway is shown with why it does not run, with what to do, and with its last log lines. Of several, exits
    /// with 1 if one whose intent is `running` is not healthy; of a named one, with 3 if it does not run.
    Status(Status),
    /// List the gateways that have a service
    List,
    /// Print the logs of gateways; several are merged by time, each line with its profile
    ///
    /// On a terminal, control characters and escape sequences are escaped. With --json each line is an
    /// object with `profile`, `time` (in UTC), `line`, and `cut` if the line was cut; bytes that are not valid
    /// UTF-8 are replaced.
    ///
    /// A TIME is `2026-11-29`, `2026-11-29 14:00:05`, `14:00`, either with an offset like `+01:00`, `now`, `today`,
    /// `yesterday`, or how long ago, like `90s`, `10m`, `2h`, `3d`.
    Logs(Logs),
    /// Create the services of profiles; the intent decides whether a gateway starts
    Register(Register),
    /// Stop gateways and remove their services; the intent stays
    Unregister(ProfileSelector),
    /// Install gateways as services of the host (systemd, launchd), started with the machine
    Install {
        #[command(flatten)]
        which: ProfileSelector,
        /// Start the gateways, too
        #[arg(long)]
        start: bool,
    },
    /// Stop gateways and remove their services from the host; the intent stays
    Uninstall(ProfileSelector),
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
    /// Run the gateway as the main process of a Pod; the Pod's container runs this
    #[command(hide = true)]
    Pod(Pod),
    /// Decide what follows a death; a slot's `finish` script runs this
    #[command(hide = true)]
    AfterDeath {
        /// The gateway's process group, which s6 passes to `finish` since 2.12
        group: Option<String>,
        #[command(flatten)]
        pace: RestartPace,
    },
}

/// `hermes gateway pod`.
#[derive(Debug, Args)]
pub(crate) struct Pod {
    /// The Pod's unique ID
    #[arg(long)]
    pub(crate) uid: String,
    /// The Pod's address
    #[arg(long)]
    pub(crate) address: IpAddr,
    /// The port for the kubelet's probes
    #[arg(long)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) pace: RestartPace,
}

/// How fast a gateway that died starts again.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RestartPace {
    /// Divide every delay of the restart policy, for tests
    #[arg(long, env = hermes_core::home::env::TEST_FASTER, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    faster: u32,
}

impl From<RestartPace> for Policy {
    fn from(RestartPace { faster }: RestartPace) -> Self {
        Self::default().faster(faster)
    }
}

/// How fast many gateways are started.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Pace {
    /// Maximum number of gateways that start at the same time
    #[arg(long, value_name = "N", default_value_t = hermes_core::supervisor::DEFAULT_JOBS)]
    #[arg(allow_negative_numbers = true, value_parser = |text: &str| number::<usize>(text, 1..=u64::MAX))]
    jobs: usize,
    /// Milliseconds between two that begin to start
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<u64>(text, 0..=86_400_000))]
    stagger: u64,
}

impl From<Pace> for hermes_core::supervisor::Pace {
    fn from(Pace { jobs, stagger }: Pace) -> Self {
        Self { jobs, stagger: Duration::from_millis(stagger) }
    }
}

/// `hermes gateway register`.
#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) which: ProfileSelector,
    /// Set a variable in the gateway's environment until the next registration; `gateway.env` in
    /// config.yaml is permanent
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Start the gateways, too
    #[arg(long)]
    pub(crate) start: bool,
    /// Replace existing services, those of --jobs gateways at a time; with --all, only those that another
    /// version of Hermes rendered
    #[arg(long)]
    pub(crate) refresh: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// `hermes gateway restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) which: ProfileSelector,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// `hermes gateway start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) which: ProfileSelector,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Run the gateway in this process, without a supervisor
    #[arg(long, conflicts_with = "all")]
    pub(crate) foreground: bool,
    /// Run as launchd's job with this label
    #[arg(long, hide = true, requires = "foreground", value_name = "LABEL")]
    pub(crate) launchd: Option<String>,
    /// The address to listen on if the profile names none
    #[arg(long, hide = true, requires = "foreground", value_name = "HOST")]
    pub(crate) default_host: Option<String>,
    /// The file whose gateway.defaults count
    #[arg(long, hide = true, requires = "foreground", value_name = "FILE")]
    pub(crate) defaults: Option<PathBuf>,
}

/// `hermes gateway status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) which: ProfileSelector,
    /// Also ask the gateways that are up whether they answer, all at once, for two seconds at most
    #[arg(long)]
    pub(crate) probe: bool,
    /// Also measure the memory and the processor time of each gateway with its descendants
    #[arg(short, long)]
    pub(crate) wide: bool,
}

/// `hermes gateway logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) which: ProfileSelector,
    /// Print only the last N lines of each log [default: all, with --follow and without --since 10]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<usize>(text, 0..=u64::MAX))]
    pub(crate) lines: Option<usize>,
    /// Keep printing new lines, until interrupted, --until or --timeout
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print only lines from this time on
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) since: Option<Timestamp>,
    /// Print only lines up to this time
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) until: Option<Timestamp>,
    /// Print only lines that match this regular expression; `(?i)` in front of it ignores case
    #[arg(long, value_name = "PATTERN", value_parser = Regex::new, allow_hyphen_values = true)]
    pub(crate) grep: Option<Regex>,
    /// Print what happened to the gateways between their lines: starts, deaths and more
    #[arg(long)]
    pub(crate) events: bool,
    /// Print control characters and escape sequences as they are
    #[arg(long)]
    pub(crate) raw: bool,
}
