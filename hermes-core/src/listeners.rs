//! The sockets and processes that listen on a port.
//!
//! Source: proc(5). `/proc/net/tcp`, which every user may read, has the inode of each listening socket. The
//! process has that inode among its descriptors (`/proc/PID/fd`), which only its user and root may read.

use std::io;
use std::net::IpAddr;

use fs_err as fs;

use crate::proc::Proc;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A listening socket.
#[derive(Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address that it listens on.
    pub address: IpAddr,
    inode: u64,
}

/// The sockets of all users that listen on `port` in this process's network namespace. Tables that can't
/// be read count as empty.
pub fn on_port(proc: &Proc, port: u16) -> Vec<Listener> {
    let tables = ["net/tcp", "net/tcp6"];
    let tables = tables.iter().filter_map(|table| fs::read_to_string(proc.root.join(table)).ok());
    tables.flat_map(|table| listening(&table, port)).collect()
}

/// A process with one of `listeners`; `None` if there is none whose descriptors this user may read.
pub fn process(proc: &Proc, listeners: &[Listener]) -> Option<u32> {
    proc.processes().ok()?.into_iter().find(|pid| {
        let Ok(descriptors) = fs::read_dir(proc.file(*pid, "fd")) else { return false };
        descriptors.filter_map(Result::ok).any(|descriptor| {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            listeners.iter().any(|listener| *target == *format!("socket:[{}]", listener.inode))
        })
    })
}

/// Whether a failure to listen is permanent. A port may become free, an address or host name available.
pub fn is_permanent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The sockets in `table` that listen on `port`.
fn listening(table: &str, port: u16) -> Vec<Listener> {
    let listener = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (address, local_port) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(local_port, 16) == Ok(port) && *fields.get(3)? == LISTEN;
        let inode = fields.get(9)?.parse().ok()?;
        matches.then_some(Listener { address: self::address(address)?, inode })
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// Parses an address as the kernel prints it: hexadecimal 32-bit numbers in the machine's byte order.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(IpAddr::from(bytes).to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let proc = Proc::default();
        for host in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let found = on_port(&proc, listener.local_addr().unwrap().port());
            assert_eq!(process(&proc, &found), Some(std::process::id()));
            let addresses: Vec<_> = found.iter().map(|found| found.address.to_string()).collect();
            assert_eq!(addresses, [host]);
        }
    }
}
