//! The record that s6-supervise writes of its service.

use rustix::io::Errno;

use crate::files;

/// The flags in the record's last byte.
const FINISHING: u8 = 2;
const WANTED_UP: u8 = 4;
const READY: u8 = 8;

/// The state that a command is to bring about.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The service runs and has reported that it is ready.
    Ready,
    /// Neither the service nor its `finish` script runs, and it is not wanted up.
    Down,
}

/// Whether the service directory `slot` has reached `goal`; not if nothing is recorded yet.
pub(crate) fn has_reached(slot: &str, goal: Goal) -> Result<bool, Errno> {
    let mut buffer = [0; 64];
    let len = files::read(&[slot, "/supervise/status"].concat(), &mut buffer)?;
    Ok(is(&buffer[..len], goal))
}

fn is(record: &[u8], goal: Goal) -> bool {
    let (Some(pid), Some(flags)) = (record.get(24..32), record.last()) else { return false };
    let runs = pid.iter().any(|byte| *byte != 0);
    match goal {
        Goal::Ready => runs && flags & FINISHING == 0 && flags & READY != 0,
        Goal::Down => !runs && flags & (FINISHING | WANTED_UP) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_ready_or_down_or_on_its_way() {
        let record = |pid: u8, flags: u8| {
            let mut bytes = [0; 35];
            (bytes[31], bytes[34]) = (pid, flags);
            [Goal::Ready, Goal::Down].map(|goal| is(&bytes, goal))
        };
        assert_eq!(record(7, WANTED_UP | READY), [true, false]);
        assert_eq!(record(7, WANTED_UP), [false, false]);
        assert_eq!(record(7, FINISHING | READY), [false, false]);
        assert_eq!(record(0, READY), [false, true]);
        assert_eq!(record(0, WANTED_UP | READY), [false, false]);
        assert_eq!([Goal::Ready, Goal::Down].map(|goal| is(b"", goal)), [false, false]);
    }
}
