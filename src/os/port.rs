//! Who holds a TCP port.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::users;

/// The process that listens on `address`, or on all addresses with that port, in words: `pid 4711 (node
/// server.js, user deploy)`. None when it cannot be found, for example because it belongs to another user.
pub fn holder(address: SocketAddr) -> Option<String> {
    holders(address).and_then(|pids| pids.first().copied()).map(in_words)
}

/// All processes that have a socket open which listens there, or on all addresses with that port, by number; those of other users cannot be seen.
/// None if nobody listens.
pub fn holders(address: SocketAddr) -> Option<Vec<i32>> {
    let tables = tables();
    let inodes: Vec<u64> = tables.iter().flat_map(|table| inodes(table, address, LISTEN)).collect();
    (!inodes.is_empty()).then(|| owners(&inodes))
}

/// Whether a connection that was closed a moment ago keeps the address (TIME-WAIT, tcp(7)): nobody's any more, and free
/// within a minute.
pub fn is_lingering(address: SocketAddr) -> bool {
    tables().iter().any(|table| !inodes(table, address, TIME_WAIT).is_empty())
}

/// States of proc_net_tcp(5).
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

fn tables() -> [String; 2] {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default())
}

/// A process as a person knows it: `pid 4711 (node server.js, user deploy)`.
pub fn in_words(pid: i32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = printable(&command);
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = String::from_utf8_lossy(&status)
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next()?.parse().ok());
    let user = uid.map_or_else(String::new, |uid: u32| {
        format!(", user {}", users::name_of(uid).unwrap_or_else(|| uid.to_string()))
    });
    format!("pid {pid} ({}{user})", short(&command))
}

/// The words of a command line. Whoever started it chose these bytes, and they go to terminals, and into a log whose lines
/// are ours.
fn printable(command: &[u8]) -> String {
    String::from_utf8_lossy(command).replace('\0', " ").trim().replace(char::is_control, "?")
}

fn short(command: &str) -> String {
    const MOST: usize = 60;
    match command.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_owned(),
    }
}

/// Inodes of the sockets in a /proc/net/tcp table that are in this state and in the way of who wants `address`.
fn inodes(table: &str, address: SocketAddr, state: &str) -> Vec<u64> {
    let rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[3] == state)
        .filter(|row| local_address(row[1]).is_some_and(|other| is_in_the_way(other, address)))
        .filter_map(|row| row[9].parse().ok())
        .collect()
}

/// Whether the kernel refuses one because of the other. A wildcard of IPv6 may be one of IPv4, too.
fn is_in_the_way(other: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, two) = (other.ip(), wanted.ip());
    let wildcard = match (one.is_ipv4(), two.is_ipv4()) {
        (true, true) | (false, false) => one.is_unspecified() || two.is_unspecified(),
        (false, true) => one.is_unspecified(),
        (true, false) => two.is_unspecified(),
    };
    other.port() == wanted.port() && (one == two || wildcard)
}

/// An address as /proc has it: the words of the address in the machine's order of bytes, and the port.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word =
        |at: usize| u32::from_str_radix(address.get(8 * at..8 * at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
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
        let at = |text: &str, state| inodes(table, text.parse().unwrap(), state);
        assert_eq!((at("127.0.0.1:3000", LISTEN), at("0.0.0.0:3000", LISTEN)), (vec![4242], vec![4242]));
        for free in ["127.0.0.1:3001", "127.0.0.2:3000", "[::1]:3000"] {
            assert_eq!(at(free, LISTEN), [0u64; 0], "{free}");
        }
        assert_eq!(at("127.0.0.1:3000", TIME_WAIT), [0u64; 0]);
        let address = |text| local_address(text).map(|address| address.to_string());
        let of_six = "00000000000000000000000001000000:0BB8";
        assert_eq!(address(of_six).as_deref(), Some("[::1]:3000"));
        let mapped = "0000000000000000FFFF00000100007F:0BB8";
        assert_eq!(address(mapped).as_deref(), Some("127.0.0.1:3000"));
    }

    #[test]
    fn what_others_call_themselves_is_shown_without_control_characters() {
        assert_eq!(printable(b"x\x1b]0;y\x07\n\rz\xff\x001\x00"), "x?]0;y???z\u{fffd} 1");
    }
}
