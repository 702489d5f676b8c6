//! A line of a log file, as the slots' loggers write it.

/// A line in a log file without its timestamp.
pub(crate) fn text_of(line: &str) -> String {
    let stamped = line.split_once(' ').filter(|(stamp, _)| stamp.starts_with('@'));
    stamped.map_or(line, |(_, text)| text).to_owned()
}
