//! The same work on many items, so many at a time.

use std::sync::Mutex;
use std::thread;

/// Does `work` on all items in at most `at_once` threads; one alone is the caller's own. The results are in the items' order.
/// Blocks until the last is done.
pub fn map<T: Send, R: Send>(
    items: Vec<T>,
    at_once: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = at_once.clamp(1, items.len().max(1));
    if workers == 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    let worker = || std::iter::from_fn(next).map(|(i, item)| (i, work(item))).collect::<Vec<_>>();
    let mut results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let finished = threads.into_iter().flat_map(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        finished.collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_keep_the_order_and_workers_work_at_once() {
        let barrier = Barrier::new(3);
        let doubled = map((0..9).collect(), 3, |n| {
            barrier.wait(); // would never be passed by fewer than three
            n * 2
        });
        assert_eq!(doubled, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert!(map(Vec::<u8>::new(), 3, |n| n).is_empty());
    }
}
