//! Properties of processes, read from `/proc`.
//!
//! Source: proc(5). Every user may read `stat`, `cmdline` and `limits`; only the process's own user and
//! root may read `environ`. A Mac has no such files: there every process looks like one that has ended, so only a
//! message may depend on it.

mod descent;
mod flocks;
mod life;
mod moment;
mod mounts;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::fsutil;
use crate::wait::{self, Poll};
use fs_err as fs;

pub use flocks::Flocks;
pub use life::Life;
use moment::Moment;

/// How long an exec may take on a busy machine.
const EXEC: Duration = Duration::from_secs(1);

/// A proc file system.
#[derive(Debug, Clone)]
pub struct Proc {
    pub(crate) root: PathBuf,
    moment: Moment,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// The one at `root`.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), moment: Moment::default() }
    }

    /// The IDs of all processes in this PID namespace.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.root)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// The parent of `pid`.
    pub fn parent(&self, pid: u32) -> io::Result<u32> {
        self.stat(pid, [1]).map(|[parent]| parent)
    }

    /// `pid` and all its ancestors in this PID namespace.
    pub fn ancestry(&self, pid: u32) -> BTreeSet<u32> {
        let mut ancestry = BTreeSet::new();
        let mut next = pid;
        while next != 0 && ancestry.insert(next) {
            next = self.parent(next).unwrap_or(0);
        }
        ancestry
    }

    /// The ID of `pid` in its own, innermost PID namespace.
    pub fn own_pid(&self, pid: u32) -> io::Result<u32> {
        let status = fs::read_to_string(self.file(pid, "status"))?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let own = ids.and_then(|ids| ids.split_ascii_whitespace().last()?.parse().ok());
        // Without PID namespaces in the kernel there is one ID.
        Ok(own.unwrap_or(pid))
    }

    /// Whether `pid` ignores `signal`.
    pub fn ignores(&self, pid: u32, signal: i32) -> io::Result<bool> {
        let status = fs::read_to_string(self.file(pid, "status"))?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Ok(mask.unwrap_or(0) >> (signal - 1) & 1 == 1)
    }

    /// The process group of `pid`.
    pub fn group(&self, pid: u32) -> io::Result<u32> {
        self.stat(pid, [2]).map(|[group]| group)
    }

    /// The session of `pid`, which is the process ID of its leader.
    pub fn session(&self, pid: u32) -> io::Result<u32> {
        self.stat(pid, [3]).map(|[session]| session)
    }

    /// Whether `pid` exists and is a child of `parent`.
    pub fn is_child(&self, pid: u32, parent: u32) -> bool {
        self.parent(pid).is_ok_and(|actual| actual == parent)
    }

    /// The children of `pid`, which must have a single thread. May miss children that start or end
    /// meanwhile. Empty if the kernel does not provide the list.
    pub fn children(&self, pid: u32) -> BTreeSet<u32> {
        let list = self.file(pid, "task").join(pid.to_string()).join("children");
        let list = fsutil::read_up_to(&list, u64::MAX).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The children of `pid`, whichever of its threads started them. May miss children that start or end meanwhile;
    /// `None` if the kernel does not provide the lists.
    pub fn children_of_all_threads(&self, pid: u32) -> Option<Vec<u32>> {
        let Ok(threads) = fs::read_dir(self.file(pid, "task")) else { return Some(Vec::new()) };
        let mut children = Vec::new();
        for thread in threads.flatten() {
            match fsutil::read_up_to(&thread.path().join("children"), u64::MAX) {
                Ok(list) => {
                    let list = String::from_utf8_lossy(&list).into_owned();
                    children.extend(
                        list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()),
                    );
                }
                // A thread may have ended.
                Err(_) if !thread.path().exists() => {}
                Err(_) => return None,
            }
        }
        Some(children)
    }

    /// Whether `pid` has the file at `path` open; `false` if this user may not look.
    pub fn has_open(&self, pid: u32, path: &Path) -> bool {
        let Ok(file) = fs::metadata(path) else { return false };
        let Ok(descriptors) = fs::read_dir(self.file(pid, "fd")) else { return false };
        let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        let same = |of: std::fs::Metadata| identity(&of) == identity(&file);
        descriptors.flatten().any(|entry| fs::metadata(entry.path()).is_ok_and(same))
    }

    /// When `pid` started, in clock ticks since boot. Together with the process ID it identifies a
    /// process, even if the ID is used again later.
    pub fn start_time(&self, pid: u32) -> io::Result<u64> {
        self.stat(pid, [19]).map(|[start]| start)
    }

    /// The process group of `pid`, and when it started, as [`start_time`](Self::start_time).
    pub fn group_and_start(&self, pid: u32) -> io::Result<(u32, u64)> {
        let [group, start] = self.stat::<u64, 2>(pid, [2, 19])?;
        Ok((u32::try_from(group).unwrap_or_default(), start))
    }

    /// The ID and name of `pid`, for messages.
    pub fn title(&self, pid: u32) -> String {
        let name = fs::read_to_string(self.file(pid, "comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim_end())
    }

    /// Fields of `stat`, by index from the state, which is the first field after the name.
    pub(crate) fn stat<T: FromStr + Default + Copy, const N: usize>(
        &self,
        pid: u32,
        fields: [usize; N],
    ) -> io::Result<[T; N]> {
        let rest = self.stat_line(pid)?;
        let mut values = [T::default(); N];
        for (value, field) in values.iter_mut().zip(fields) {
            let read = rest.split_ascii_whitespace().nth(field).and_then(|text| text.parse().ok());
            *value = read
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "stat is truncated"))?;
        }
        Ok(values)
    }

    /// The line `stat` after the name.
    fn stat_line(&self, pid: u32) -> io::Result<String> {
        self.moment.line_of(pid, || {
            let stat = self.read_in_one_call(pid, "stat")?;
            // The name is in parentheses and may contain any bytes, including parentheses.
            let stat = String::from_utf8_lossy(&stat);
            Ok(stat.rsplit_once(')').map_or("", |(_, rest)| rest).to_owned())
        })
    }

    /// The command line of `pid`, program first.
    pub fn arguments(&self, pid: u32) -> io::Result<Vec<String>> {
        let bytes = fs::read(self.file(pid, "cmdline"))?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Ok(bytes.split(|b| *b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect())
    }

    /// Whether `pid` runs the program with the file name `name`, by its command line.
    pub fn runs(&self, pid: u32, name: &str) -> bool {
        let program = self.arguments(pid).ok().and_then(|words| words.into_iter().next());
        program.is_some_and(|path| path.rsplit('/').next() == Some(name))
    }

    /// The working directory of `pid`; ` (deleted)` follows the name of one that was removed. Fails for another
    /// user's process.
    pub fn directory(&self, pid: u32) -> io::Result<PathBuf> {
        fs::read_link(self.file(pid, "cwd"))
    }

    /// The variable `name` in the environment that `pid` started with.
    pub fn variable(&self, pid: u32, name: &str) -> io::Result<Option<OsString>> {
        self.variables(pid, [name]).map(|[value]| value)
    }

    /// The variables `names` in the environment that `pid` started with.
    pub fn variables<const N: usize>(
        &self,
        pid: u32,
        names: [&str; N],
    ) -> io::Result<[Option<OsString>; N]> {
        let bytes = self.environment(pid)?;
        let value = |name: &str| {
            bytes.split(|b| *b == 0).find_map(|entry| {
                let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(OsString::from_vec(value.to_vec()))
            })
        };
        Ok(names.map(value))
    }

    /// All variables in the environment that `pid` started with, without those that are not UTF-8.
    pub fn all_variables(&self, pid: u32) -> io::Result<BTreeMap<String, String>> {
        let bytes = self.environment(pid)?;
        let entries = bytes.split(|b| *b == 0).filter_map(|entry| str::from_utf8(entry).ok());
        let variables = entries.filter_map(|entry| entry.split_once('='));
        Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The environment that `pid` started with. `environ` is empty during an exec (from `exec_mmap` in
    /// `fs/exec.c` to `create_elf_tables` in `fs/binfmt_elf.c`); then this blocks, at most a second.
    fn environment(&self, pid: u32) -> io::Result<Vec<u8>> {
        let environment = wait::until(Instant::now() + EXEC, || {
            let bytes = self.read_in_one_call(pid, "environ")?;
            let complete = !bytes.is_empty() || self.has_no_environment(pid)?;
            Ok::<_, io::Error>(if complete { Poll::Done(bytes) } else { Poll::Wait })
        })?;
        Ok(environment.unwrap_or_default())
    }

    /// Whether `pid` has no variables, or no memory for them: a zombie or a kernel thread. During an exec the
    /// place of the variables has no end yet, or its end is still its start (`create_elf_tables`); the place
    /// of the code is known only afterwards (`load_elf_binary` in `fs/binfmt_elf.c`).
    fn has_no_environment(&self, pid: u32) -> io::Result<bool> {
        let now = Self::at(&self.root);
        let [memory, code_end, start, end]: [u64; 4] = now.stat(pid, [20, 24, 47, 48])?;
        Ok(memory == 0 || code_end != 0 && end != 0 && start == end)
    }

    /// The soft limit of `pid` on open descriptors.
    pub fn descriptor_limit(&self, pid: u32) -> io::Result<u64> {
        let limits = fs::read_to_string(self.file(pid, "limits"))?;
        let soft = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_ascii_whitespace().next());
        match soft {
            Some("unlimited") => Ok(u64::MAX),
            soft => soft.and_then(|soft| soft.parse().ok()).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "no limit on open files")
            }),
        }
    }

    /// Reads a whole file with as few system calls as possible, because commands read thousands of them. For
    /// these files the kernel fills the buffer (`environ_read` in `fs/proc/base.c`, `do_task_stat` in
    /// `fs/proc/array.c`), so a read that leaves room has reached the end.
    pub(crate) fn read_in_one_call(&self, pid: u32, name: &str) -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(self.file(pid, name))?;
        let mut bytes = vec![0; 4096];
        let mut len = 0;
        loop {
            len += file.read(&mut bytes[len..])?;
            if len < bytes.len() {
                bytes.truncate(len);
                return Ok(bytes);
            }
            bytes.resize(2 * len, 0);
        }
    }

    pub(crate) fn file(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }
}

/// Whether two paths name the same directory; if one can't be resolved, whether they are equal.
pub fn same_directory(path: &Path, other: &Path) -> bool {
    match (fs::canonicalize(path), fs::canonicalize(other)) {
        (Ok(path), Ok(other)) => path == other,
        _ => path == other,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn properties_of_this_process_are_read() {
        let (proc, me) = (Proc::default(), std::process::id());
        assert_eq!(proc.parent(me).unwrap(), std::os::unix::process::parent_id());
        assert!(proc.start_time(me).unwrap() > 0);
        assert_eq!(proc.arguments(me).unwrap(), std::env::args().collect::<Vec<_>>());
        assert!(proc.descriptor_limit(me).unwrap() > 3);
        assert!(proc.variable(me, "PATH").unwrap().is_some());
        assert_eq!(proc.variable(me, "PAT").unwrap(), None);
    }

    #[test]
    fn an_environment_of_any_size_is_read_during_an_exec() {
        let proc = Proc::default();
        let large = "x".repeat(100_000);
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        for expected in [Some(OsString::from(&large)), None].into_iter().cycle().take(100) {
            match &expected {
                Some(value) => cat.env("LARGE", value),
                None => cat.env_clear(),
            };
            let mut child = cat.spawn().unwrap();
            // From now on the child has its own memory.
            while fs::read(proc.file(child.id(), "comm")).unwrap() != b"cat\n" {
                std::hint::spin_loop();
            }
            let read = proc.variable(child.id(), "LARGE");
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(read.unwrap() == expected);
        }
    }

    #[test]
    fn children_are_listed_if_the_kernel_provides_the_list() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("7/task/7")).unwrap();
        std::fs::write(root.path().join("7/task/7/children"), "8 42 ").unwrap();
        let proc = Proc::at(root.path());
        assert_eq!(proc.children(7), BTreeSet::from([8, 42]));
        assert_eq!(proc.children(8), BTreeSet::new());
    }

    #[test]
    fn a_name_may_contain_parentheses() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("7")).unwrap();
        // A name need not be UTF-8.
        std::fs::write(root.path().join("7/stat"), b"7 (a) R 1 (\xffb)) S 42 7 7\n").unwrap();
        let proc = Proc::at(root.path());
        assert_eq!(proc.parent(7).unwrap(), 42);
    }
}
