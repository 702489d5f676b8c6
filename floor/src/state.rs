//! Reads and prints the state of gateways.

use std::io;

use rustix::io::Errno;

use crate::files;

/// The files to read beside those that every job reads: marker file, intent, configuration, supervisors' locks, status.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    /// The death tally.
    deaths: bool,
    /// The holder of the gateway's lock.
    state: bool,
    /// The `down` file, the generation, and leftover files.
    upkeep: bool,
}

/// `hermes profile list`.
pub(crate) const LIST: Depth = Depth { deaths: false, state: true, upkeep: false };
/// `hermes gateway status`, `hermes gateway list`.
pub(crate) const STATUS: Depth = Depth { deaths: true, state: true, upkeep: false };
/// `hermes boot`, before it does anything.
pub(crate) const PLAN: Depth = Depth { deaths: false, state: false, upkeep: true };

/// Prints one line for each profile.
pub(crate) fn all(home: &str, scandir: &str, depth: Depth) -> Result<(), Errno> {
    let mut reader = Reader::new(scandir)?;
    for name in profiles(home)? {
        reader.profile(&home_of(home, &name), &slot(scandir, &name), &name, depth)?;
    }
    reader.print()
}

/// Prints one line for one profile.
pub(crate) fn one(home: &str, scandir: &str, name: &str) -> Result<(), Errno> {
    let mut reader = Reader::new(scandir)?;
    reader.profile(&home_of(home, name), &slot(scandir, name), name, STATUS)?;
    reader.print()
}

/// The names of the profiles' directories.
pub(crate) fn profiles(home: &str) -> Result<Vec<String>, Errno> {
    let mut names = files::names(&[home, "/profiles"].concat())?;
    names.retain(|name| !name.starts_with('.'));
    Ok(names)
}

fn home_of(home: &str, name: &str) -> String {
    [home, "/profiles/", name].concat()
}

fn slot(scandir: &str, name: &str) -> String {
    [scandir, "/gateway-", name].concat()
}

struct Reader {
    buffer: [u8; 4096],
    out: Vec<u8>,
}

impl Reader {
    fn new(scandir: &str) -> Result<Self, Errno> {
        // Without an s6-svscan there is no state.
        files::holder(&[scandir, "/.s6-svscan/lock"].concat())?.ok_or(Errno::SRCH)?;
        Ok(Self { buffer: [0; 4096], out: Vec::new() })
    }

    fn profile(&mut self, home: &str, slot: &str, name: &str, depth: Depth) -> Result<(), Errno> {
        rustix::fs::stat([home, "/SOUL.md"].concat())?;
        self.out.extend(name.as_bytes());
        self.copy(&[home, "/gateway.intent"].concat())?;
        let config = self.read(&[home, "/config.yaml"].concat())?;
        let at = config.windows(5).position(|word| word == b"port:").unwrap_or_default();
        let port: Vec<_> = config[at..].iter().filter(|b| b.is_ascii_digit()).copied().collect();
        self.out.extend(port);
        let supervisor = files::holder(&[slot, "/supervise/lock"].concat())?;
        let logger = files::holder(&[slot, "/log/supervise/lock"].concat())?;
        self.out.push(b'0' + u8::from(supervisor.is_some()) + u8::from(logger.is_some()));
        let record = self.read(&[slot, "/supervise/status"].concat())?;
        let is_up = record.get(24..32).is_some_and(|pid| pid.iter().any(|byte| *byte != 0));
        self.out.push(if is_up { b'U' } else { b'D' });
        if depth.deaths {
            self.copy(&[slot, "/supervise/death_tally"].concat())?;
        }
        if depth.state {
            files::holder(&[home, "/../.gateways/", name].concat())?;
        }
        if !is_up {
            self.copy(&[slot, "/data/parked"].concat())?;
        }
        if depth.upkeep {
            self.copy(&[slot, "/data/generation"].concat())?;
            for path in [[slot, "/down"], [home, "/gateway.pid"], [home, "/processes.json"]] {
                let exists = rustix::fs::stat(path.concat()).is_ok();
                self.out.push(b'0' + u8::from(exists));
            }
        }
        self.out.push(b'\n');
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let len = files::read(path, &mut self.buffer)?;
        Ok(self.buffer[..len].to_vec())
    }

    fn copy(&mut self, path: &str) -> Result<(), Errno> {
        let len = files::read(path, &mut self.buffer)?;
        self.out.extend(&self.buffer[..len]);
        Ok(())
    }

    fn print(self) -> Result<(), Errno> {
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(io::stdout(), rest)?..];
        }
        Ok(())
    }
}
