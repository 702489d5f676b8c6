//! Placeholders in `gateway.command`, `gateway.env` and `gateway.ready_url`.

/// The names of the placeholders, which stand in braces.
pub(super) const NAMES: [&str; 5] = ["profile", "home", "host", "port", "program"];

/// The values of the placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholders<'a> {
    /// `{profile}`: the profile's name.
    pub profile: &'a str,
    /// `{home}`: the profile's home.
    pub home: &'a str,
    /// `{host}`: the address that the gateway listens on.
    pub host: &'a str,
    /// `{port}`: the gateway's port, if the profile has one.
    pub port: Option<u16>,
    /// `{program}`: the Python agent's program, if it was looked for and found.
    pub program: Option<&'a str>,
}

/// Why a placeholder has no value. `key` is the full name of the key that uses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// The profile has no port.
    #[error("`{key}` uses `{{port}}`, but `gateway.port` is not set")]
    Port {
        /// The key.
        key: String,
    },
    /// The Python agent's program is not known.
    #[error("`{key}` uses `{{program}}`, but the Python agent was not found")]
    Program {
        /// The key.
        key: String,
    },
}

impl Placeholders<'_> {
    /// `text`, the value of `key`, with every placeholder replaced. One pass: placeholders in the
    /// replacements stay. Other braces stay too, because an argument may be JSON.
    pub(super) fn fill(&self, key: &str, text: &str) -> Result<String, Unfilled> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            filled.push_str(&rest[..brace]);
            rest = &rest[brace..];
            if let Some(after) = rest.strip_prefix("{profile}") {
                filled.push_str(self.profile);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{home}") {
                filled.push_str(self.home);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{host}") {
                filled.push_str(self.host);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{port}") {
                let missing = || Unfilled::Port { key: key.to_owned() };
                filled.push_str(&self.port.ok_or_else(missing)?.to_string());
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{program}") {
                let missing = || Unfilled::Program { key: key.to_owned() };
                filled.push_str(self.program.ok_or_else(missing)?);
                rest = after;
            } else {
                filled.push('{');
                rest = &rest[1..];
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let all = Placeholders {
            profile: "coder",
            home: "/h/{port}",
            host: "::1",
            port: Some(1),
            program: None,
        };
        for (text, filled) in [
            ("", ""),
            ("{profile}", "coder"),
            ("a{host}b{port}c", "a::1b1c"),
            ("{home}", "/h/{port}"),
            ("{{port}}", "{1}"),
            ("{\"port\": {port}, \"x\": {}}", "{\"port\": 1, \"x\": {}}"),
            ("{Port} { port} {port {", "{Port} { port} {port {"),
            ("ü{profile}ü{", "ücoderü{"),
        ] {
            assert_eq!(all.fill("k", text).unwrap(), filled, "{text}");
        }
    }

    #[test]
    fn no_port() {
        let none =
            Placeholders { profile: "coder", home: "/h", host: "::1", port: None, program: None };
        assert_eq!(none.fill("k", "{home}").unwrap(), "/h");
        let error = none.fill("gateway.command", "--port={port}").unwrap_err();
        let text = "`gateway.command` uses `{port}`, but `gateway.port` is not set";
        assert_eq!(error.to_string(), text);
    }
}
