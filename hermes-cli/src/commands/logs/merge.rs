//! The lines of several logs in the order of their time.

use hermes_core::log::Removed;

use super::print::{STAMP, stamped};
use crate::error::CliError;

/// What a log has to tell.
#[derive(Debug)]
pub(super) enum Item {
    Line(Vec<u8>),
    Removed(Removed),
}

/// When something was said: s6-log's stamp, whose bytes sort by time.
type Time = [u8; STAMP];

/// Takes from all `logs` what `next` gets from each until it gets nothing, and tells it in the order
/// of time, as long as `tell` wants more. What has no time is told with what stood before it.
pub(super) fn in_time_order<L>(
    logs: &mut [L],
    mut next: impl FnMut(&mut L) -> Result<Option<Item>, CliError>,
    mut tell: impl FnMut(usize, Item) -> Result<bool, CliError>,
) -> Result<bool, CliError> {
    // What has no time goes before all that has one: right behind what stood before it.
    let mut head = |log: &mut L| {
        let item = next(log)?;
        Ok::<_, CliError>(item.map(|item| (time(&item).unwrap_or_default(), item)))
    };
    let mut heads = Vec::new();
    for log in &mut *logs {
        heads.push(head(log)?);
    }
    loop {
        let first = heads.iter().enumerate();
        let first = first.filter_map(|(log, head)| Some((head.as_ref()?.0, log))).min();
        let Some((_, log)) = first else { return Ok(true) };
        let following = head(&mut logs[log])?;
        let told = std::mem::replace(&mut heads[log], following);
        if let Some((_, item)) = told
            && !tell(log, item)?
        {
            return Ok(false);
        }
    }
}

fn time(item: &Item) -> Option<Time> {
    match item {
        Item::Line(line) => stamped(line).and_then(|(stamp, _)| stamp.as_bytes().try_into().ok()),
        Item::Removed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn merged(logs: &[&[&str]]) -> Vec<String> {
        let mut logs: Vec<VecDeque<_>> =
            logs.iter().map(|lines| lines.iter().copied().collect()).collect();
        let mut told = Vec::new();
        in_time_order(
            &mut logs,
            |log| {
                let said = log.pop_front();
                Ok(said.map(|said| match said.split_once('@') {
                    Some((what, second)) => {
                        let line = format!("2026-01-02 03:04:{second}.000000000  {what}");
                        Item::Line(line.into_bytes())
                    }
                    None => Item::Line(said.as_bytes().to_vec()),
                }))
            },
            |log, item| {
                let Item::Line(line) = item else { panic!("only lines") };
                let text = String::from_utf8(line).unwrap();
                let said = text.rsplit_once("  ").map_or(text.as_str(), |(_, said)| said);
                told.push(format!("{log}{said}"));
                Ok(true)
            },
        )
        .unwrap();
        told
    }

    #[test]
    fn time_decides_and_what_has_none_stays_where_it_was() {
        assert_eq!(
            merged(&[&["a@01", "b", "c@05"], &["x@00", "y@03", "z@05"]]),
            ["1x", "0a", "0b", "1y", "0c", "1z"]
        );
        assert_eq!(merged(&[&[], &["x"]]), ["1x"]);
    }
}
