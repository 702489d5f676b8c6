//! Many looks at one moment: what `stat` says of a process is read once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Proc;

/// The lines that were read, if they are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Moment(Option<Arc<Mutex<BTreeMap<u32, String>>>>);

impl Moment {
    /// The line of `pid`, which `read` returns.
    pub(super) fn line_of(
        &self,
        pid: u32,
        read: impl FnOnce() -> io::Result<String>,
    ) -> io::Result<String> {
        let Some(kept) = &self.0 else { return read() };
        let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = kept().get(&pid) {
            return Ok(line.clone());
        }
        let line = read()?;
        kept().insert(pid, line.clone());
        Ok(line)
    }
}

impl Proc {
    /// The same, for many looks at one moment: `stat` of a process is read once. Not for waiting.
    pub fn at_one_moment(&self) -> Self {
        Self { moment: Moment(Some(Arc::default())), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_one_moment_a_process_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir(root.path().join("7")).unwrap();
        fs_err::write(root.path().join("7/stat"), "7 (a) S 42 7 7\n").unwrap();
        let proc = Proc::at(root.path());
        let moment = proc.at_one_moment();
        assert_eq!(moment.parent(7).unwrap(), 42);
        fs_err::write(root.path().join("7/stat"), "7 (a) S 43 7 7\n").unwrap();
        assert_eq!((moment.parent(7).unwrap(), proc.parent(7).unwrap()), (42, 43));
        assert_eq!(proc.at_one_moment().parent(7).unwrap(), 43);
    }
}
