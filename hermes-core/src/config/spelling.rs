//! Recognizes a key of ours that is misspelt.

/// Whether `key` differs from `ours` only in case, dashes, underscores, blanks and one or two letters.
pub(super) fn looks_like(key: &str, ours: &str) -> bool {
    let bare = |word: &str| {
        let letters = word.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
        letters.flat_map(char::to_lowercase).collect::<Vec<_>>()
    };
    let (key, ours) = (bare(key), bare(ours));
    let allowed = if ours.len() > 6 { 2 } else { 1 };
    key.len().abs_diff(ours.len()) <= allowed && distance(&key, &ours) <= allowed
}

/// How many letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
