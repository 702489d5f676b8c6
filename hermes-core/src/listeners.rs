//! The sockets and processes that listen on a port.
//!
//! Source: proc(5). `/proc/net/tcp`, which every user may read, has the inode of each listening socket. The
//! process has that inode among its descriptors (`/proc/PID/fd`), which only its user and root may read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use fs_err as fs;
use rustix::net::{self, AddressFamily, SocketType};

use crate::hosts;
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

impl Listener {
    /// What a descriptor of it links to.
    fn descriptor(&self) -> OsString {
        format!("socket:[{}]", self.inode).into()
    }
}

/// The sockets of all users that listen in this process's network namespace, by port, at one moment.
#[derive(Debug)]
pub struct Listeners(BTreeMap<u16, Vec<Listener>>);

impl Listeners {
    /// Reads them. Tables that can't be read count as empty.
    pub fn read(proc: &Proc) -> Self {
        let mut by_port = BTreeMap::<_, Vec<_>>::new();
        for table in ["net/tcp", "net/tcp6"] {
            let table = fs::read_to_string(proc.root.join(table)).unwrap_or_default();
            for (port, listener) in listening(&table) {
                by_port.entry(port).or_default().push(listener);
            }
        }
        Self(by_port)
    }

    /// Those that listen on `port`.
    pub fn on_port(&self, port: u16) -> &[Listener] {
        self.0.get(&port).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those that prevent another one on `port` of `host`.
    pub fn clashing(&self, host: &str, port: u16) -> Vec<&Listener> {
        let on_port = self.on_port(port).iter();
        on_port.filter(|listener| clash(host, listener.address)).collect()
    }
}

/// The sockets of all users that listen on `port` in this process's network namespace. Tables that can't
/// be read count as empty.
pub fn on_port(proc: &Proc, port: u16) -> Vec<Listener> {
    Listeners::read(proc).0.remove(&port).unwrap_or_default()
}

/// All ports that sockets of this process's network namespace listen on. Tables that can't be read count as
/// empty.
pub fn ports(proc: &Proc) -> BTreeSet<u16> {
    Listeners::read(proc).0.into_keys().collect()
}

/// The process that has each of some listeners.
#[derive(Debug)]
pub struct Holders(BTreeMap<u64, u32>);

impl Holders {
    /// Looks for the processes that have `listeners`: among `likely` first, then among all, once, while any is missing.
    pub fn find<'a>(
        proc: &Proc,
        listeners: impl IntoIterator<Item = &'a Listener>,
        likely: impl IntoIterator<Item = u32>,
    ) -> Self {
        let wanted = listeners.into_iter().map(|it| (it.descriptor(), it.inode));
        let mut wanted: BTreeMap<_, _> = wanted.collect();
        let mut found = BTreeMap::new();
        let others = std::iter::once_with(|| proc.processes().unwrap_or_default()).flatten();
        let mut processes = likely.into_iter().chain(others);
        while !wanted.is_empty()
            && let Some(pid) = processes.next()
        {
            let Ok(descriptors) = fs::read_dir(proc.file(pid, "fd")) else { continue };
            for target in descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()) {
                found.extend(wanted.remove(target.as_os_str()).map(|inode| (inode, pid)));
            }
        }
        Self(found)
    }

    /// The process that has `listener`; `None` if this user may not read the descriptors of it (another user's), or `/proc`
    /// has no such process (another PID namespace, `hidepid`).
    pub fn of(&self, listener: &Listener) -> Option<u32> {
        self.0.get(&listener.inode).copied()
    }
}

/// A process with one of `listeners`; `None` if there is none whose descriptors this user may read.
pub fn process(proc: &Proc, listeners: &[Listener]) -> Option<u32> {
    let listeners: Vec<_> = listeners.iter().collect();
    proc.processes().ok()?.into_iter().find(|pid| descriptor(proc, *pid, &listeners).is_some())
}

/// The descriptor with which `pid` has one of `listeners`.
fn descriptor(proc: &Proc, pid: u32, listeners: &[&Listener]) -> Option<Descriptor> {
    fs::read_dir(proc.file(pid, "fd")).ok()?.filter_map(Result::ok).find_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let is_socket = |listener: &&Listener| target.as_os_str() == &*listener.descriptor();
        listeners.iter().any(is_socket).then(|| Descriptor { path: entry.path(), target })
    })
}

/// A socket that a process has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    path: PathBuf,
    target: PathBuf,
}

impl Descriptor {
    /// Whether the process still has it open.
    pub fn is_open(&self) -> bool {
        fs::read_link(&self.path).is_ok_and(|target| target == self.target)
    }
}

/// Whose socket answers at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A process of the gateway's, with this descriptor.
    Gateway(Descriptor),
    /// No process of the gateway's, but this one.
    Other(u32),
    /// Not to be seen: no process whose descriptors this user may read, or not a socket of this machine.
    Unseen,
}

/// Whose socket answers at `address`: that of the gateway process `gateway`, of one that descends from it or is in
/// its session, or of another process.
pub fn owner(proc: &Proc, address: SocketAddr, gateway: u32) -> Owner {
    owner_among(proc, &Listeners::read(proc), address, gateway)
}

/// As [`owner`], by the sockets that listened when they were read.
pub fn owner_among(proc: &Proc, listeners: &Listeners, address: SocketAddr, gateway: u32) -> Owner {
    let mut listeners: Vec<_> = listeners.on_port(address.port()).iter().collect();
    // The kernel prefers a socket of this very address, then one of all addresses of its family.
    let all: [IpAddr; 2] = match address.ip().to_canonical() {
        IpAddr::V4(_) => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        IpAddr::V6(_) => [Ipv6Addr::UNSPECIFIED.into(); 2],
    };
    // A connection to 0.0.0.0 goes to 127.0.0.1, one to :: to ::1.
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let preferred = [ip, all[0], all[1]];
    let rank = |listener: &&Listener| preferred.iter().position(|ip| *ip == listener.address);
    let best = listeners.iter().filter_map(rank).min();
    listeners.retain(|listener| best.is_some() && rank(listener) == best);
    if listeners.is_empty() {
        return Owner::Unseen;
    }
    // Most gateways listen themselves, or in a child: a look at all processes costs more.
    let mut known = BTreeSet::from([gateway]);
    let mut next = vec![gateway];
    while let Some(pid) = next.pop() {
        if let Some(descriptor) = descriptor(proc, pid, &listeners) {
            return Owner::Gateway(descriptor);
        }
        next.extend(proc.children(pid).into_iter().filter(|child| known.insert(*child)));
    }
    let leads = proc.session(gateway).is_ok_and(|session| session == gateway);
    let is_own = |pid: u32| {
        leads && proc.session(pid).is_ok_and(|session| session == gateway)
            || proc.ancestry(pid).contains(&gateway)
    };
    let mut other = None;
    for pid in proc.processes().unwrap_or_default() {
        let Some(descriptor) = descriptor(proc, pid, &listeners) else { continue };
        if is_own(pid) {
            return Owner::Gateway(descriptor);
        }
        other = other.or(Some(pid));
    }
    other.map_or(Owner::Unseen, Owner::Other)
}

/// The sockets that prevent another one on `port` of `host`.
pub fn clashing(proc: &Proc, host: &str, port: u16) -> Vec<Listener> {
    // The kernel walks through the connections of the whole machine for its tables, which takes milliseconds.
    if host.parse().is_ok_and(|ip: IpAddr| is_free((ip, port).into())) {
        return Vec::new();
    }
    let mut listeners = on_port(proc, port);
    listeners.retain(|listener| clash(host, listener.address));
    listeners
}

/// Whether a socket can be bound to `address`. It does not listen, so that nobody connects to it.
fn is_free(address: SocketAddr) -> bool {
    let bind = || -> rustix::io::Result<()> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = net::socket(family, SocketType::STREAM, None)?;
        // As servers do: connections of the past keep nobody from listening.
        net::sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &address)
    };
    bind().is_ok()
}

/// Whether a listener at `address` prevents one at `host`.
fn clash(host: &str, address: IpAddr) -> bool {
    let wildcard = |address: &IpAddr| address.is_unspecified();
    let Ok(hosts) = hosts::addresses(host, 0) else { return true };
    let mut hosts = hosts.into_iter().map(|host| host.ip().to_canonical());
    wildcard(&address) || hosts.any(|host| wildcard(&host) || host == address)
}

/// The title of a process that listens on `port`, for the error of one that can't; `None` if there is none whose
/// descriptors this user may read.
pub fn title_of_holder(port: u16) -> Option<String> {
    let proc = Proc::default();
    process(&proc, &on_port(&proc, port)).map(|pid| proc.title(pid))
}

/// Whether a failure to listen is permanent. A port may become free, an address or host name available.
pub fn is_permanent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The listening sockets in `table`, each with its port.
fn listening(table: &str) -> impl Iterator<Item = (u16, Listener)> {
    let listener = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (address, local_port) = fields.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(local_port, 16).ok()?;
        let inode = fields.get(9)?.parse().ok()?;
        (*fields.get(3)? == LISTEN)
            .then_some((port, Listener { address: self::address(address)?, inode }))
    };
    table.lines().skip(1).filter_map(listener)
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

    #[test]
    fn only_the_same_address_or_all_of_them_clash() {
        for (host, address, clashes) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.0.0.1", "::", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "10.0.0.1", true),
            ("::1", "127.0.0.1", false),
        ] {
            assert_eq!(clash(host, address.parse().unwrap()), clashes, "{host} {address}");
        }
    }

    #[test]
    fn what_listens_clashes_until_it_ends() {
        let proc = Proc::default();
        for (listens, asked, clashes) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "localhost", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("0.0.0.0", "127.0.0.2", true),
            ("::", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::1", false),
        ] {
            let listener = TcpListener::bind((listens, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(!clashing(&proc, asked, port).is_empty(), clashes, "{listens} {asked}");
            let _connection = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            drop(listener);
            assert!(clashing(&proc, asked, port).is_empty(), "{listens} {asked}, afterwards");
        }
        assert_eq!(clashing(&proc, "no.such.host.invalid", 1), []);
    }

    #[test]
    fn the_owner_of_a_socket_is_the_gateway_its_descendant_or_another() {
        let proc = Proc::default();
        let me = std::process::id();
        let other = std::process::Command::new("sleep").arg("60").spawn();
        let mut other = other.unwrap();
        for (host, asked) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let address = (asked.parse::<IpAddr>().unwrap(), listener.local_addr().unwrap().port());
            let Owner::Gateway(descriptor) = owner(&proc, address.into(), me) else {
                panic!("{host}")
            };
            assert!(descriptor.is_open());
            let parent = std::os::unix::process::parent_id();
            assert!(matches!(owner(&proc, address.into(), parent), Owner::Gateway(_)), "{host}");
            assert_eq!(owner(&proc, address.into(), other.id()), Owner::Other(me), "{host}");
            drop(listener);
            assert!(!descriptor.is_open());
            assert_eq!(owner(&proc, address.into(), me), Owner::Unseen);
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
