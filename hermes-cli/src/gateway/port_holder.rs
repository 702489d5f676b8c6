//! Who listens on a port, as far as this user may see.
//!
//! Source: proc(5), `/proc/net/tcp`: a listening socket's inode is there for all to read; the process
//! that has it shows it among its descriptors, to its own user and to root.

use std::net::IpAddr;

use fs_err as fs;
use hermes_core::Proc;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens on `port`, in words.
pub(super) fn find(port: u16) -> Option<String> {
    process(&sockets(port)).map(|pid| Proc::default().title(pid))
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// At which address.
    pub(crate) address: IpAddr,
    inode: u64,
}

/// The sockets that listen on `port`, whoever has them.
pub(crate) fn sockets(port: u16) -> Vec<Listener> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.flat_map(|table| listening(&table, port)).collect()
}

/// The process that has one of `sockets`, if this user may see it.
pub(crate) fn process(sockets: &[Listener]) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.filter_map(Result::ok).any(|descriptor| {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            sockets.iter().any(|socket| *target == *format!("socket:[{}]", socket.inode))
        })
    })
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

/// An address as the kernel prints it: numbers of 32 bits in hexadecimal, in the machine's own order.
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
        for host in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let holder = find(port).unwrap();
            assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
            let addresses: Vec<_> = sockets(port).iter().map(|s| s.address.to_string()).collect();
            assert_eq!(addresses, [host]);
        }
    }
}
