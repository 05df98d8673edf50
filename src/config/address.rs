//! `IP:PORT`, and who else has it.

use std::net::{IpAddr, SocketAddr};

use toml::Spanned;

use super::file::{Address, File};
use super::mistake::Kind;
use super::table::{Found, Value};

/// Reads an address. Names are not looked up: what they mean may change while the file does not.
pub(super) fn read(value: &Value<'_>, text: &Spanned<String>, found: &mut Found) -> Option<SocketAddr> {
    let at = value.at.clone();
    let text = text.get_ref();
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            found.note(value.span.clone(), Kind::PortZero { at });
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            let value_text = text.clone();
            let help = correction(text);
            let kind = Kind::Address { at, value: value_text, help };
            found.note(value.span.clone(), kind);
            None
        }
    }
}

/// What was probably meant.
fn correction(text: &str) -> String {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let (host, after) = text.rsplit_once(':').unwrap_or(("", text));
    if text.parse::<IpAddr>().is_ok() {
        return "add a port, like :3000".to_owned();
    }
    match port(after) {
        Some(port) if host.is_empty() || host == "localhost" => {
            format!("write \"127.0.0.1:{port}\"")
        }
        Some(port) if host == "*" => format!("write \"0.0.0.0:{port}\" for every address of this machine"),
        Some(port) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("write \"[{host}]:{port}\""),
        _ => "write an IP address and a port, like \"127.0.0.1:3000\"".to_owned(),
    }
}

/// Notes every address that an earlier one of the file keeps from being bound.
pub(super) fn check_unique(file: &File, found: &mut Found) {
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    let mut take = |address: &Address, owner: String, found: &mut Found| {
        let other = taken.iter().find(|(other, _)| clash(*other, address.address));
        if let Some((_, other)) = other {
            let kind = Kind::AddressTaken {
                at: address.at.clone(),
                address: address.address.to_string(),
                other: other.clone(),
            };
            found.note(address.span.clone(), kind);
        }
        taken.push((address.address, owner));
    };
    if let Some(address) = &file.listen {
        take(address, "dogwatch itself, [dogwatch]".to_owned(), found);
    }
    for service in &file.services {
        for address in &service.listen {
            take(address, service.place.to_string(), found);
        }
    }
}

/// Whether the kernel refuses to bind both: the same port, and the same address or a wildcard of its family.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant() {
        let table = [
            ("3000", "write \"127.0.0.1:3000\""),
            (":3000", "write \"127.0.0.1:3000\""),
            ("localhost:80", "write \"127.0.0.1:80\""),
            ("*:80", "write \"0.0.0.0:80\" for every address of this machine"),
            ("127.0.0.1", "add a port, like :3000"),
            ("::1", "add a port, like :3000"),
            ("fe80::1:zz", "write an IP address and a port, like \"127.0.0.1:3000\""),
            ("127.0.0.1:70000", "write an IP address and a port, like \"127.0.0.1:3000\""),
        ];
        for (text, help) in table {
            assert_eq!(correction(text), help, "{text}");
        }
    }

    #[test]
    fn wildcards_clash_within_their_family() {
        let clash = |a: &str, b: &str| clash(a.parse().unwrap(), b.parse().unwrap());
        assert!(clash("127.0.0.1:1", "127.0.0.1:1"));
        assert!(clash("0.0.0.0:1", "127.0.0.1:1"));
        assert!(!clash("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!clash("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!clash("0.0.0.0:1", "[::1]:1"));
    }
}
