//! The results of `hermes` commands in the demo: exit code and output, and a gateway's status from JSON.

use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::Value;

/// The result of a command that the demo runs for itself.
pub(super) struct Answer {
    pub(super) line: String,
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Answer {
    pub(super) fn success(&self) -> Result<()> {
        let Self { line, code, stderr, .. } = self;
        ensure!(*code == Some(0), "`{line}` failed with {code:?}: {}", stderr.trim_end());
        Ok(())
    }
}

/// A gateway's status.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) state: String,
    pub(super) intent: String,
    pub(super) pid: Option<u32>,
    pub(super) port: Option<u64>,
    ready: Option<bool>,
}

impl Gateway {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("the output is not JSON")?;
        let string = |key: &str| {
            Ok::<_, Error>(json[key].as_str().with_context(|| format!("no `{key}`"))?.to_owned())
        };
        Ok(Self {
            state: string("state")?,
            intent: string("intent")?,
            pid: json["pid"].as_u64().and_then(|pid| pid.try_into().ok()),
            port: json["port"].as_u64(),
            ready: json["ready"].as_bool(),
        })
    }

    /// The pid of a gateway that is up and ready.
    pub(super) fn ready_pid(&self) -> Result<u32> {
        match self {
            Self { state, pid: Some(pid), ready: Some(true), .. } if state == "up" => Ok(*pid),
            _ => bail!("not up and ready: {self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_up_and_ready_gateway_has_a_ready_pid() {
        let pid = |state: &str, pid: &str, ready: &str| {
            let json = format!(
                r#"{{"profile":"a","state":"{state}","pid":{pid},"intent":"running","ready":{ready}}}"#
            );
            Gateway::parse(&json).unwrap().ready_pid().ok()
        };
        assert_eq!(pid("up", "7", "true"), Some(7));
        assert_eq!(pid("up", "7", "false"), None);
        assert_eq!(pid("up", "7", "null"), None);
        assert_eq!(pid("starting", "7", "true"), None);
        assert_eq!(pid("backoff", "null", "null"), None);
    }

    #[test]
    fn a_status_without_its_fields_is_an_error() {
        for text in ["", "[]", "{}", r#"{"state":"up"}"#] {
            assert!(Gateway::parse(text).is_err(), "{text}");
        }
    }
}
