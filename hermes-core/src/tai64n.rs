//! TAI64N, the time format of s6: its stamps in files, in the names of archived logs, and in front of log lines.
//!
//! Sources: `libtai/tai64.html` (cr.yp.to), `skalibs/tai.html`. A label is 2^62 plus the seconds of International
//! Atomic Time since 1970, then nanoseconds, both big-endian. skalibs counts TAI 37 s ahead of UTC, which holds
//! since 2017.

use jiff::Timestamp;

const UNIX_EPOCH: i64 = (1 << 62) + 37;

/// The number of bytes of a label in hexadecimal digits.
pub const HEX_LEN: usize = 24;

/// The time of a label with these seconds and nanoseconds; `None` if it is out of range.
pub fn time(seconds: u64, nanoseconds: u32) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok()?.checked_sub(UNIX_EPOCH)?;
    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
}

/// The time of a label in hexadecimal digits; `None` if it is not one.
pub fn from_hex(label: &[u8; HEX_LEN]) -> Option<Timestamp> {
    // `from_str_radix` would accept a sign.
    let label = str::from_utf8(label).ok().filter(|_| label.iter().all(u8::is_ascii_hexdigit))?;
    let (seconds, nanoseconds) = label.split_at(16);
    time(u64::from_str_radix(seconds, 16).ok()?, u32::from_str_radix(nanoseconds, 16).ok()?)
}

/// The label of `time` in hexadecimal digits.
pub fn to_hex(time: Timestamp) -> String {
    let seconds = UNIX_EPOCH.cast_unsigned().wrapping_add_signed(time.as_second());
    format!("{seconds:016x}{:08x}", time.subsec_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_written_and_read_as_s6_does() {
        let (time, label) =
            (Timestamp::new(1_700_000_000, 0x1f3c_5e0c), b"400000006553f1251f3c5e0c");
        assert_eq!(to_hex(time.clone().unwrap()).as_bytes(), label);
        assert_eq!(from_hex(label), time.ok());
        for wrong in
            [b"400000006553f125ffffffff", b"+00000006553f1251f3c5e0c", b"ffffffffffffffff00000000"]
        {
            assert_eq!(from_hex(wrong), None);
        }
    }
}
