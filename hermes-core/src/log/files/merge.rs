//! Several logs as one, in the order of time.

use jiff::Timestamp;

/// Takes the items of several logs in the order of time. An item without a time comes right behind the
/// item that stands before it in its log.
#[derive(Debug)]
pub(super) struct Merge<T> {
    logs: usize,
    /// The next item of each log, while all logs are read to the end once.
    heads: Vec<Option<(Timestamp, T)>>,
}

impl<T> Merge<T> {
    /// Merges so many logs.
    pub(super) fn new(logs: usize) -> Self {
        Self { logs, heads: Vec::new() }
    }

    /// The next item and the index of its log. `next` returns the next item of one log and its time.
    /// `None` if every log was read to its end; the call after that reads them all again.
    pub(super) fn next<E>(
        &mut self,
        mut next: impl FnMut(usize) -> Result<Option<(Option<Timestamp>, T)>, E>,
    ) -> Result<Option<(usize, T)>, E> {
        let mut head =
            |log| Ok(next(log)?.map(|(time, item)| (time.unwrap_or(Timestamp::MIN), item)));
        if self.heads.is_empty() {
            self.heads = (0..self.logs).map(&mut head).collect::<Result<_, E>>()?;
        }
        let heads = self.heads.iter().enumerate();
        let first = heads.filter_map(|(log, head)| Some((head.as_ref()?.0, log))).min();
        let Some((_, log)) = first else {
            self.heads.clear();
            return Ok(None);
        };
        let first = std::mem::replace(&mut self.heads[log], head(log)?);
        Ok(first.map(|(_, item)| (log, item)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;

    /// Items as `LOGITEM`; an item `x@05` has the time 05.
    fn merged(logs: &[&[&str]]) -> Vec<String> {
        let mut logs: Vec<VecDeque<_>> =
            logs.iter().map(|items| items.iter().copied().collect()).collect();
        let mut merge = Merge::new(logs.len());
        let mut merged = Vec::new();
        loop {
            let item = merge.next(|log| {
                let item = logs[log].pop_front();
                Ok::<_, Infallible>(item.map(|item| match item.split_once('@') {
                    Some((item, second)) => (Timestamp::new(second.parse().unwrap(), 0).ok(), item),
                    None => (None, item),
                }))
            });
            let Some((log, item)) = item.unwrap() else { return merged };
            merged.push(format!("{log}{item}"));
        }
    }

    #[test]
    fn time_decides_and_an_item_without_one_stays_where_it_was() {
        assert_eq!(
            merged(&[&["a@01", "b", "c@05"], &["x@00", "y@03", "z@05"]]),
            ["1x", "0a", "0b", "1y", "0c", "1z"]
        );
        assert_eq!(merged(&[&[], &["x"]]), ["1x"]);
        assert_eq!(merged(&[]), [""; 0]);
    }
}
