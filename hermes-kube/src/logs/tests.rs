//! Lines as the kubelet stamps them.

use super::*;

#[test]
fn a_line_has_the_kubelets_stamp() {
    let line = line_of(b"2026-01-02T03:04:05.123456789Z said  so \xff\n");
    let time = "2026-01-02T03:04:05.123456789Z".parse().ok();
    assert_eq!(line, Some(Line { time, text: b"said  so \xff".to_vec(), cut: false }));
    for empty in [&b"2026-01-02T03:04:05Z \n"[..], b"2026-01-02T03:04:05Z\n"] {
        assert_eq!(line_of(empty).unwrap().text, b"");
    }
    let unstamped = b"unable to retrieve container logs for containerd://4f27842dbf10";
    assert_eq!(line_of(unstamped), None);
}

#[test]
fn lines_of_several_logs_are_merged_by_time() {
    let log = |seconds: &[i64]| {
        let line =
            |second| Line { time: Timestamp::new(second, 0).ok(), text: Vec::new(), cut: false };
        seconds.iter().copied().map(line).collect::<VecDeque<_>>()
    };
    // The clock of the first was set back.
    let lines = merged(vec![log(&[5, 2, 6]), log(&[1, 3, 7])]);
    let order: Vec<_> =
        lines.iter().map(|(index, line)| (*index, line.time.unwrap().as_second())).collect();
    assert_eq!(order, [(1, 1), (1, 3), (0, 5), (0, 2), (0, 6), (1, 7)]);
}
