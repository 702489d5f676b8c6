//! What a look at the machine found: what was seen, what is wrong with it, and what mends it.

use serde::{Serialize, Serializer};

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A command, to be run as it stands.
    Run(String),
    /// A command that needs root.
    Root(String),
    /// What a person has to do.
    Do(String),
}

/// As an object: `how` is `run`, `root` or `do`, and `what` the command or the words.
impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (how, what) = match self {
            Self::Run(what) => ("run", what),
            Self::Root(what) => ("root", what),
            Self::Do(what) => ("do", what),
        };
        serializer.collect_map([("how", how), ("what", what)])
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(what) | Self::Do(what) => f.write_str(what),
            Self::Root(what) => write!(f, "as root: {what}"),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// What it is called, in one word.
    pub check: &'static str,
    /// What was seen.
    pub evidence: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it keeps gateways or commands from working; otherwise they work, and not as was meant.
    pub severe: bool,
    /// What is wrong.
    pub problem: String,
    /// What mends it.
    pub remedy: Remedy,
}
