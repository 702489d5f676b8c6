//! Finds where the last lines begin, reading backwards from the end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 64 << 10;

/// The meaning of text after the last newline of the newest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The last line.
    CompleteLine,
    /// The beginning of a line that is still being written.
    Incomplete,
}

/// Where the last `wanted` lines of `files` (the oldest first) begin: the index of the file, and the offset.
/// An incomplete line is always after that place.
pub(super) fn start(files: &[File], mut wanted: usize, rest: Rest) -> io::Result<(usize, u64)> {
    let mut newest = true;
    for (index, file) in files.iter().enumerate().rev() {
        let len = file.metadata()?.len();
        if newest && rest == Rest::Incomplete && !ends_with_newline(file, len)? {
            wanted += 1;
        }
        newest = false;
        match last_lines(file, len, wanted)? {
            Found::At(offset) => return Ok((index, offset)),
            Found::Only(lines) => wanted -= lines,
        }
    }
    Ok((0, 0))
}

fn ends_with_newline(file: &File, len: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if len > 0 {
        file.read_exact_at(&mut last, len - 1)?;
    }
    Ok(last == [b'\n'])
}

enum Found {
    /// The lines begin here.
    At(u64),
    /// The file has fewer.
    Only(usize),
}

fn last_lines(file: &File, len: u64, wanted: usize) -> io::Result<Found> {
    if wanted == 0 {
        return Ok(Found::At(len));
    }
    if len == 0 {
        return Ok(Found::Only(0));
    }
    let mut lines = 0;
    let mut block = Vec::new();
    // The last byte ends a line or belongs to one: no line begins behind it.
    let mut end = len - 1;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - begin).unwrap_or_default(), 0);
        file.read_exact_at(&mut block, begin)?;
        for byte in block.iter().rev() {
            if *byte == b'\n' {
                lines += 1;
                if lines == wanted {
                    return Ok(Found::At(end));
                }
            }
            end -= 1;
        }
    }
    // The first line begins at the beginning.
    lines += 1;
    Ok(if lines == wanted { Found::At(0) } else { Found::Only(lines) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file
    }

    fn found(texts: &[&str], wanted: usize, rest: Rest) -> (usize, u64) {
        let files: Vec<_> = texts.iter().map(|text| file(text.as_bytes())).collect();
        start(&files, wanted, rest).unwrap()
    }

    #[test]
    fn lines_are_counted_across_files_from_the_end() {
        let texts = ["a\nb\n", "", "c\nd\n", "e\n"];
        let wanted = [(0, (3, 2)), (1, (3, 0)), (2, (2, 2)), (3, (2, 0)), (4, (0, 2)), (9, (0, 0))];
        for (wanted, expected) in wanted {
            assert_eq!(found(&texts, wanted, Rest::CompleteLine), expected, "{wanted}");
        }
    }

    #[test]
    fn a_line_that_is_not_whole_is_the_last_one_or_still_to_come() {
        let texts = ["a\n", "b\nc"];
        assert_eq!(found(&texts, 1, Rest::CompleteLine), (1, 2));
        assert_eq!(found(&texts, 0, Rest::Incomplete), (1, 2));
        assert_eq!(found(&texts, 1, Rest::Incomplete), (1, 0));
        assert_eq!(found(&texts, 2, Rest::Incomplete), (0, 0));
        assert_eq!(found(&["a", "b\n"], 2, Rest::Incomplete), (0, 0));
    }

    proptest! {
        #[test]
        fn it_is_what_reading_from_the_beginning_finds(
            lines in proptest::collection::vec(0_usize..40_000, 1..12), wanted in 1_usize..14,
        ) {
            let text: String = lines.iter().map(|len| "x".repeat(*len) + "\n").collect();
            let skipped: usize = lines.iter().rev().skip(wanted).map(|len| len + 1).sum();
            let (_, offset) = start(&[file(text.as_bytes())], wanted, Rest::CompleteLine).unwrap();
            prop_assert_eq!(offset, skipped as u64);
        }
    }
}
