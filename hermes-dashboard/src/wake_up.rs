//! Wakes a thread that waits for descriptors.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// A wake-up that stays until it is taken. A pipe, which every system has.
#[derive(Debug)]
pub(crate) struct WakeUp {
    reader: PipeReader,
    writer: PipeWriter,
}

impl WakeUp {
    /// None yet.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Self { reader, writer })
    }

    /// Wakes whoever waits, now or later. Does not block.
    pub(crate) fn wake(&self) {
        // Fails only if the pipe is full, and then it is readable anyway.
        let _ = (&self.writer).write(&[0]);
    }

    /// Takes all wake-ups of the past; returns whether there was one. Does not block.
    pub(crate) fn take(&self) -> bool {
        let mut taken = false;
        // A full pipe has 64 KiB on Linux.
        while (&self.reader).read(&mut [0; 1024]).is_ok() {
            taken = true;
        }
        taken
    }
}

impl AsFd for WakeUp {
    /// Readable while there is a wake-up.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hermes_core::wait;

    use super::*;

    #[test]
    fn wake_ups_add_up_until_they_are_taken() {
        let wake_up = WakeUp::new().unwrap();
        let is_readable =
            || wait::readable(&[wake_up.as_fd()], Some(Instant::now())).unwrap() == [true];
        assert!(!is_readable() && !wake_up.take());
        // More than a pipe holds.
        for _ in 0..100_000 {
            wake_up.wake();
        }
        assert!(is_readable() && wake_up.take());
        assert!(!is_readable() && !wake_up.take());
    }
}
