//! Ctrl-C and SIGTERM during a wait of a command: the wait ends as if its deadline had passed, so that everything that
//! a timeout undoes and releases is undone and released.
//!
//! Between two waits a signal kills the process at once, as it does without this module, and so does a second signal.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal was inherited as ignored; set once interruptions are enabled.
static IS_IGNORED: OnceLock<fn(i32) -> bool> = OnceLock::new();
static FLAGS: OnceLock<Flags> = OnceLock::new();

thread_local! {
    static SHIELDED: Cell<bool> = const { Cell::new(false) };
}

/// What the signal handlers read and write.
#[derive(Debug, Default)]
struct Flags {
    /// The signal that interrupted a wait; 0 for none.
    signal: Arc<AtomicUsize>,
    /// Whether the next signal kills this process.
    kills: Arc<AtomicBool>,
}

impl Flags {
    /// Registers the handlers. A signal that this process inherited as ignored stays ignored, as nohup(1) intends.
    fn registered(is_ignored: fn(i32) -> bool) -> Self {
        let flags = Self::default();
        for signal in [SIGINT, SIGTERM] {
            if is_ignored(signal) {
                continue;
            }
            let number = usize::try_from(signal).unwrap_or_default();
            // They run in this order. If one can't be registered, the signal kills as before.
            let registered = flag::register_conditional_default(signal, flags.kills.clone())
                .and_then(|_| flag::register_usize(signal, flags.signal.clone(), number))
                .and_then(|_| flag::register(signal, flags.kills.clone()));
            if let Err(error) = registered {
                log::warn!("failed to handle signal {signal}: {error}");
            }
        }
        flags
    }
}

/// From now on SIGINT and SIGTERM during a wait that is [observed](crate::waiting::observe) end it as if its deadline had
/// passed, and [`signal`] names the signal. Only for a command: a server ends in its own order.
///
/// `is_ignored` is called with each signal before the first wait: see [`end_signals`](crate::end_signals::is_ignored).
pub fn enable(is_ignored: fn(i32) -> bool) {
    let _ = IS_IGNORED.set(is_ignored);
}

/// A wait begins, and no other one is under way.
pub(crate) fn waits_begin() {
    if let Some(is_ignored) = IS_IGNORED.get() {
        let kills = signal().is_some();
        let flags = FLAGS.get_or_init(|| Flags::registered(*is_ignored));
        flags.kills.store(kills, Ordering::Relaxed);
    }
}

/// The last wait has ended.
pub(crate) fn waits_ended() {
    if let Some(flags) = FLAGS.get() {
        flags.kills.store(true, Ordering::Relaxed);
    }
}

/// The signal that interrupted the waits of this process, if one did.
pub fn signal() -> Option<i32> {
    let number = FLAGS.get()?.signal.load(Ordering::Relaxed);
    i32::try_from(number).ok().filter(|signal| *signal > 0)
}

/// Whether the waits of this thread end now.
pub(crate) fn ends_waits() -> bool {
    !SHIELDED.get() && signal().is_some()
}

/// Calls `undo`, in which no signal ends the waits of this thread: what an interruption undoes takes its time. A second
/// signal kills the process nevertheless.
pub fn shielded<T>(undo: impl FnOnce() -> T) -> T {
    let before = SHIELDED.replace(true);
    let result = undo();
    SHIELDED.set(before);
    result
}
