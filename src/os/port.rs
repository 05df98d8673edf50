//! Who holds a TCP port.

use std::fs;
use std::net::SocketAddr;

use super::users;

/// The process that listens on `address` (or on all addresses with that port), in words: `pid 4711 (node
/// server.js, user deploy)`. None when it cannot be found, for example because it belongs to another user.
pub fn holder(address: SocketAddr) -> Option<String> {
    holders(address).and_then(|pids| pids.first().copied()).map(in_words)
}

/// All processes that have a socket open which listens on that port, by number; those of other users cannot be seen.
/// None if nobody listens.
pub fn holders(address: SocketAddr) -> Option<Vec<i32>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inodes: Vec<u64> = tables.iter().flat_map(|table| listening(table, address.port())).collect();
    (!inodes.is_empty()).then(|| owners(&inodes))
}

/// A process as a person knows it: `pid 4711 (node server.js, user deploy)`.
pub fn in_words(pid: i32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = String::from_utf8_lossy(&status)
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?.parse().ok());
    let user = uid.map_or_else(String::new, |uid: u32| {
        format!(", user {}", users::name_of(uid).unwrap_or_else(|| uid.to_string()))
    });
    format!("pid {pid} ({}{user})", short(command.trim()))
}

fn short(command: &str) -> String {
    const MOST: usize = 60;
    match command.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_owned(),
    }
}

/// Inodes of the sockets in a /proc/net/tcp table that listen on `port` (proc_net_tcp(5): state 0A).
fn listening(table: &str, port: u16) -> Vec<u64> {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&suffix) && row[3] == "0A")
        .filter_map(|row| row[9].parse().ok())
        .collect()
}

/// The processes that have one of these sockets open.
fn owners(inodes: &[u64]) -> Vec<i32> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.retain(|pid| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        targets.any(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
    });
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_process() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = holder(socket.local_addr().unwrap()).unwrap();
        assert!(text.starts_with(&format!("pid {} (", std::process::id())), "{text}");
    }

    #[test]
    fn reads_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n\
            1: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0\n";
        assert_eq!(listening(table, 3000), [4242]);
        assert_eq!(listening(table, 3001), [0u64; 0]);
    }
}
