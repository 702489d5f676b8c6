//! The same work on many items, with a limited number of threads.
//!
//! A thread that can't be had (`ulimit -u`, a container's pids limit) is no error: the work takes longer.

use std::sync::{LazyLock, Mutex};
use std::thread;

/// The number of items, of about 30 µs each, that pay for the start of another thread.
const ITEMS_PER_THREAD: usize = 32;

/// The number of processors. Queried only once and only if needed: the query takes as long as several items.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// Calls `work`, which should use the processor and not wait, on all items. Returns the results in the
/// items' order. Starts no thread for few items.
pub fn compute<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = items.len() / ITEMS_PER_THREAD;
    map(items, if threads > 1 { threads.min(*PROCESSORS) } else { 1 }, work)
}

/// Calls all `tasks`, each of which uses the processor for `items` items, and returns their results in order. Starts no
/// thread for few items.
pub fn side_by_side<R: Send>(tasks: Vec<Box<dyn Fn() -> R + Send + '_>>, items: usize) -> Vec<R> {
    map(tasks, if items > 2 * ITEMS_PER_THREAD { *PROCESSORS } else { 1 }, |task| task())
}

/// Calls `work` on all items in at most `jobs` threads, of which the caller's is one. If no further thread can
/// be started, those that run do the work. Returns the results in the items' order. Blocks until all items
/// are done.
pub fn map<T: Send, R: Send>(items: Vec<T>, jobs: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = jobs.min(items.len());
    if workers <= 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    let worker = || std::iter::from_fn(next).map(|(i, item)| (i, work(item))).collect::<Vec<_>>();
    let mut results: Vec<_> = thread::scope(|scope| {
        // Stops at the first thread that can't be started.
        let start = |_| thread::Builder::new().spawn_scoped(scope, worker).ok();
        let threads: Vec<_> = (1..workers).map_while(start).collect();
        let own = worker();
        let finished = threads.into_iter().flat_map(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        own.into_iter().chain(finished).collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_keep_their_order_and_jobs_run_concurrently() {
        let barrier = Barrier::new(3);
        let doubled = map((0..9).collect(), 3, |n| {
            barrier.wait(); // Blocks until three jobs run.
            n * 2
        });
        assert_eq!(doubled, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert!(map(Vec::<u8>::new(), 3, |n| n).is_empty());
    }

    #[test]
    fn few_items_start_no_thread() {
        let current = thread::current().id();
        let few = compute(vec![1, 2, 3], |n| (n, thread::current().id()));
        assert_eq!(few, [(1, current), (2, current), (3, current)]);
        let many: Vec<_> = (0..1000).collect();
        assert_eq!(compute(many.clone(), |n| n), many);
    }
}
