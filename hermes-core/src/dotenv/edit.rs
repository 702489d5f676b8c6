//! Takes variables out of the text of a `.env` and keeps every other byte.

use std::collections::BTreeSet;

use super::parse;

/// `text` without the statements that set `name`, and the line of each, from 1.
pub fn without(text: &str, name: &str) -> (String, Vec<usize>) {
    let bindings = parse(text).bindings.into_iter().filter(|binding| binding.name == name);
    let bindings: Vec<_> = bindings.collect();
    let taken: BTreeSet<_> = bindings.iter().flat_map(|it| it.line..=it.last_line).collect();
    // It is no part of the first line.
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mark, text) = text.split_at(mark);
    let kept = lines(text).zip(1..).filter(|(_, line)| !taken.contains(line));
    let kept: String = kept.map(|(text, _)| text).collect();
    (format!("{mark}{kept}"), bindings.into_iter().map(|binding| binding.line).collect())
}

/// The lines with their ends, which are those of all systems.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest
            .find(['\n', '\r'])
            .map_or(rest.len(), |at| at + if rest[at..].starts_with("\r\n") { 2 } else { 1 });
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_byte_stays() {
        for (text, kept, lines) in [
            ("", "", vec![]),
            ("A=1\n", "A=1\n", vec![]),
            ("P=1", "", vec![1]),
            ("A=1\nP=1", "A=1\n", vec![2]),
            ("# P=1\n  export  P = '1' # why\nB=2", "# P=1\nB=2", vec![2]),
            ("\u{feff}P=1\r\nA=1\r\n\r\n", "\u{feff}A=1\r\n\r\n", vec![1]),
            ("A=1\rP=2\rB=3", "A=1\rB=3", vec![2]),
            ("P=\"1\n2\n\"  # end\nA='x\nP=9\n'\n'P'=2\n", "A='x\nP=9\n'\n", vec![1, 7]),
            ("\n\nP\n\n bad line\nP=3\n", "\n\n\n bad line\n", vec![3, 6]),
            ("P=1\nPP=2\nP_=3\n", "PP=2\nP_=3\n", vec![1]),
        ] {
            assert_eq!(without(text, "P"), (kept.to_owned(), lines), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_other_variables_stay(text in "([PAB'\"=# \\\\]|\n|\r|export P|P=1\n){0,24}") {
            let (new, _) = without(&text, "P");
            let values = |text: &str| -> Vec<_> {
                let bindings = parse(text).bindings.into_iter().filter(|it| it.name != "P");
                bindings.map(|it| (it.name, it.value)).collect()
            };
            proptest::prop_assert_eq!(values(&new), values(&text));
            proptest::prop_assert!(without(&new, "P").1.is_empty());
        }
    }
}
