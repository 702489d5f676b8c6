//! Numbers of bytes as text: parsed from options and `config.yaml`, and printed for people.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Parses a whole number of bytes; `K`, `M`, `G` or `T` at its end multiply it by powers of 1024. The error is the
/// problem, as text for the user.
pub fn parse(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], KIB),
        Some(b'M') => (&text[..text.len() - 1], MIB),
        Some(b'G') => (&text[..text.len() - 1], GIB),
        Some(b'T') => (&text[..text.len() - 1], TIB),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size, like 500M or 20G".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

/// The size in the largest unit that it reaches, with one decimal: `1.5 MiB`.
pub fn shown(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{} KiB", bytes / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_in_every_unit() {
        let parsed = ["0", "7", "2K", "512M", "20G", "1T"].map(|text| parse(text).unwrap());
        assert_eq!(parsed, [0, 7, 2 * KIB, 512 * MIB, 20 * GIB, TIB]);
        for wrong in ["", "M", "1.5G", "-1", "1m", "1 G", "1KB", "1MM"] {
            assert_eq!(parse(wrong).unwrap_err(), "not a size, like 500M or 20G", "{wrong:?}");
        }
        assert_eq!(parse("20000000T").unwrap_err(), "too large");
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        let sizes = [0, 5 * KIB, 3 * MIB / 2, 10 * GIB, 3 * TIB].map(shown);
        assert_eq!(sizes, ["0 KiB", "5 KiB", "1.5 MiB", "10.0 GiB", "3.0 TiB"]);
    }
}
