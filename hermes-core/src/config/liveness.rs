//! `gateway.liveness` and `gateway.on_hang`: whether a gateway that is up still answers, and what follows if not.

use std::time::Duration;

use super::error::ConfigError;
use super::keys::LIVENESS;
use super::read::{Field, Reader};
use super::yaml::{Kind, Node, Scalar};

/// How a gateway is asked while it is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// `interval`: the time from one request to the next.
    pub interval: Duration,
    /// `timeout`: how long an answer may take.
    pub timeout: Duration,
    /// `failures`: after how many failures in a row the gateway is unresponsive.
    pub failures: u32,
}

impl Default for Liveness {
    fn default() -> Self {
        let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { interval, timeout, failures: 3 }
    }
}

/// What follows if a gateway does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnHang {
    /// It is reported.
    #[default]
    Report,
    /// It is killed as well, which counts as a death, and started again.
    Restart,
}

impl Reader<'_> {
    /// `false`, or a mapping of [`LIVENESS`].
    pub(super) fn liveness(&self, field: &Field<'_>) -> Result<Option<Liveness>, ConfigError> {
        let entries = match field.value {
            Node::Map(entries) => entries,
            Node::Scalar(Scalar { kind: Kind::Boolean, plain: true, text, .. })
                if text.eq_ignore_ascii_case("false") =>
            {
                return Ok(None);
            }
            _ => {
                let problem = "must be `false`, or a mapping, with lines like `interval: 30`";
                return Err(self.invalid(field, problem));
            }
        };
        let mut liveness = Liveness::default();
        for (key_name, field) in self.only_ours(field, entries, &LIVENESS)? {
            let example = if key_name == "failures" { "3" } else { "30" };
            let number = self.up_to_3600(&field, example)?;
            match key_name {
                "interval" => liveness.interval = Duration::from_secs(number),
                "timeout" => liveness.timeout = Duration::from_secs(number),
                _ => liveness.failures = u32::try_from(number).unwrap_or(u32::MAX),
            }
        }
        Ok(Some(liveness))
    }

    pub(super) fn on_hang(&self, field: &Field<'_>) -> Result<OnHang, ConfigError> {
        match self.string(field)?.as_str() {
            "report" => Ok(OnHang::Report),
            "restart" => Ok(OnHang::Restart),
            _ => Err(self.invalid(field, "must be `report` or `restart`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;

    fn message(text: &str) -> String {
        let text = format!("gateway:\n  {text}\n");
        parse(&text, Path::new("/x")).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn every_refusal_has_a_message() {
        for (text, problem) in [
            ("liveness: false", ""),
            ("liveness: {}", ""),
            ("liveness: {interval: , failures: 3600}", ""),
            ("liveness: {interval: 0}", "must be between 1 and 3600"),
            ("liveness: {timeout: 3601}", "must be between 1 and 3600"),
            ("liveness: {failures: '3'}", "must be a plain decimal number without quotes"),
            (
                "liveness: {intervall: 3}",
                "has an unknown key `intervall`; the keys are `interval`,",
            ),
            ("liveness: true", "must be `false`, or a mapping"),
            ("liveness: no", "must be `false`, or a mapping"),
            ("liveness: [1]", "must be `false`, or a mapping"),
            ("liveness: {}\n  command: [a]", "needs an address to ask: set `gateway.ready_url`"),
            ("liveness: false\n  command: [a]", ""),
            ("on_hang: restart", ""),
            ("on_hang: report", ""),
            ("on_hang: kill", "must be `report` or `restart`"),
        ] {
            let message = message(text);
            assert!(message.contains(problem), "{text}: {message}");
            assert_eq!(message.is_empty(), problem.is_empty(), "{text}: {message}");
        }
    }
}
