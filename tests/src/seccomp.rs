//! System calls that fail as they fail on other file systems, on other kernels and in other containers.

use std::collections::BTreeMap;
use std::thread;

use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// The number of `renameat2(2)`.
pub const RENAMEAT2: i64 = if cfg!(target_arch = "x86_64") { 316 } else { 276 };

/// Calls `run` where each of `syscalls`, given by number, fails with `errno`: in this call, and in every process that
/// it starts, with their descendants.
///
/// # Panics
///
/// If `run` panics, or if the kernel has no seccomp.
pub fn refusing<T: Send>(syscalls: &[i64], errno: Errno, run: impl FnOnce() -> T + Send) -> T {
    let rules: BTreeMap<_, _> = syscalls.iter().map(|number| (*number, Vec::new())).collect();
    let code = u32::try_from(errno.raw_os_error()).expect("a positive number");
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with seccomp");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(code), arch);
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a valid filter");
    // A filter can't be removed, but it ends with its thread.
    thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            apply_filter(&filter).expect("seccomp");
            run()
        });
        filtered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
