//! The same work on many items, so many at a time.

use std::sync::{LazyLock, Mutex};
use std::thread;

/// For how many items, that take some 30 µs each, another thread is worth its start.
const WORTH_A_THREAD: usize = 32;

/// How many threads can run at once. The kernel is asked where that matters, and once: it takes longer than
/// to look at some gateways.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// Does `work`, which keeps a processor busy and waits for nothing, on all items. The results are in the
/// items' order. Few items are done by the caller's thread alone.
pub fn compute<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let worth = items.len() / WORTH_A_THREAD;
    map(items, if worth > 1 { worth.min(*PROCESSORS) } else { 1 }, work)
}

/// Does `work` on all items in at most `jobs` threads; one alone is the caller's. The results are in
/// the items' order. Blocks until the last is done.
pub fn map<T: Send, R: Send>(items: Vec<T>, jobs: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = jobs.min(items.len());
    if workers <= 1 {
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

    #[test]
    fn what_is_computed_keeps_its_order_and_few_items_start_no_thread() {
        let here = thread::current().id();
        let few = compute(vec![1, 2, 3], |n| (n, thread::current().id()));
        assert_eq!(few, [(1, here), (2, here), (3, here)]);
        let many: Vec<_> = (0..1000).collect();
        assert_eq!(compute(many.clone(), |n| n), many);
    }
}
