//! `gateway.defaults` as a file of its own, for a gateway that can't see the root home's: everything else in that one, such as
//! the keys of `default`, is not its affair.
//!
//! The file has the same values as the one that it was made from, each as text that our library and PyYAML read alike.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::defaults::Defaults;
use super::error::ConfigError;
use super::keys::{DEFAULTS, GATEWAY};
use super::yaml::{Kind, Node, Scalar};

/// The text of a file that has the defaults of the root home's file at `path`, and nothing else.
pub fn defaults_alone(path: &Path) -> Result<String, ConfigError> {
    let defaults = Defaults::load(path)?;
    let mut text = format!("{GATEWAY}: {{{DEFAULTS}: ");
    write_map(&mut text, defaults.entries()).expect("a string takes all text");
    text.push_str("}\n");
    Ok(text)
}

fn write_map(text: &mut String, entries: &[(Node, Node)]) -> fmt::Result {
    text.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        write(text, key)?;
        text.push_str(": ");
        write(text, value)?;
    }
    text.push('}');
    Ok(())
}

fn write(text: &mut String, node: &Node) -> fmt::Result {
    match node {
        Node::Scalar(scalar) => write_scalar(text, scalar),
        Node::Map(entries) => write_map(text, entries),
        Node::List(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                write(text, item)?;
            }
            text.push(']');
            Ok(())
        }
        Node::Tagged(tag, value) => {
            write!(text, "!{tag} ")?;
            write(text, value)
        }
        // The defaults are read as a whole.
        Node::Skipped => text.write_str("null"),
    }
}

/// Numbers and the like as they are written; every string in double quotes.
fn write_scalar(text: &mut String, scalar: &Scalar) -> fmt::Result {
    if scalar.kind != Kind::String {
        return text.write_str(if scalar.kind == Kind::Null { "null" } else { &scalar.text });
    }
    text.push('"');
    for c in scalar.text.chars() {
        match c {
            '"' | '\\' => write!(text, "\\{c}")?,
            ' '..='~' => text.push(c),
            _ => write!(text, "\\U{:08X}", u32::from(c))?,
        }
    }
    text.push('"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn alone(config: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        fs::write(&path, config).unwrap();
        defaults_alone(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_but_the_defaults_is_in_it() {
        let config = "model: {key: the-secret}\ngateway:\n  port: 5\n  env: {TOKEN: of-default}\n  defaults:\n    \
                      command: &c [a, 'it''s', \"é\\n\\\\\", '{port}']\n    env: {N: '1', T: 'yes', E: ''}\n    host:\n    \
                      liveness: {interval: 0x10}\n    resources: {cpu: 1.5, memory: 1G}\nrest: *c\n";
        let text = alone(config).unwrap();
        assert_eq!(
            text,
            "gateway: {defaults: {\"command\": [\"a\", \"it's\", \"\\U000000E9\\U0000000A\\\\\", \"{port}\"], \"env\": \
             {\"N\": \"1\", \"T\": \"yes\", \"E\": \"\"}, \"host\": null, \"liveness\": {\"interval\": 0x10}, \"resources\": \
             {\"cpu\": 1.5, \"memory\": \"1G\"}}}\n"
        );
        assert_eq!(alone(&text).unwrap(), text, "it is read as the same");
        assert_eq!(alone("gateway: {port: 5}").unwrap(), "gateway: {defaults: {}}\n");
        assert!(alone("gateway: {defaults: {port: 5}}").is_err());
    }
}
