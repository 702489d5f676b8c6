//! Who listens on a port, as far as this user may see.
//!
//! Source: proc(5), `/proc/net/tcp`: a listening socket's inode is there for all to read; the process
//! that has it shows it among its descriptors, to its own user and to root.

use std::path::Path;

use fs_err as fs;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens on `port`, in words.
pub(super) fn find(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find_map(|pid| {
        let path = format!("/proc/{pid}");
        let path = Path::new(&path);
        let has = fs::read_dir(path.join("fd")).ok()?.filter_map(Result::ok).any(|descriptor| {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            inodes.iter().any(|inode| *target == *format!("socket:[{inode}]"))
        });
        let name = || fs::read_to_string(path.join("comm")).unwrap_or_default();
        has.then(|| format!("process {pid} ({})", name().trim_end()))
    })
}

/// The inodes of the sockets that listen on `port`.
fn listening(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(local_port, 16) == Ok(port) && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = find(listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    }
}
