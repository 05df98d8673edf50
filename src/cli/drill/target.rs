//! What is asked, again and again: an address of this machine and a path.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;

use crate::cli::fail::{Failure, Outcome};
use crate::exit_code;
use crate::wire::status::ServiceStatus;

/// Where health is asked for when nobody says where.
pub const HEALTH: &str = "/health";

/// One address and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// On this machine.
    pub address: SocketAddr,
    /// With its query.
    pub path: String,
}

impl Target {
    /// Reads `http://127.0.0.1:3000/health`. Only this machine is ever asked: a drill is no load test of others.
    ///
    /// # Errors
    /// Another scheme, another host, or no URL at all.
    pub fn parse(text: &str) -> Outcome<Target> {
        let wrong = |why: &str| {
            Failure::new(exit_code::USAGE, format!("--url {text}: {why}"))
                .hint("name an address of this machine: --url http://127.0.0.1:3000/health")
        };
        let uri: Uri = text.parse().map_err(|error| wrong(&format!("not a URL: {error}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("it must begin with http://"));
        }
        let host = uri.host().unwrap_or_default();
        let ip = match host {
            "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.trim_matches(['[', ']']).parse(),
        };
        let ip =
            ip.ok().filter(IpAddr::is_loopback).ok_or_else(|| wrong("not an address of this machine"))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
        Ok(Target { address, path: format!("/{}{query}", uri.path().trim_start_matches('/')) })
    }

    /// A path of a service that listens there, asked by way of this machine.
    pub fn of_listener(listens: SocketAddr, path: &str) -> Target {
        let ip = match listens.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        Target { address: SocketAddr::new(ip, listens.port()), path: path.to_owned() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

/// The service that is probed: the one that was named; else the one that listens at the address that was given;
/// else the first critical one that listens, else the first that does.
///
/// # Errors
/// A name that there is not.
pub fn choose<'a>(
    services: &'a [ServiceStatus],
    name: Option<&str>,
    url: Option<&Target>,
) -> Outcome<Option<&'a ServiceStatus>> {
    if let Some(name) = name {
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let found = services.iter().find(|service| service.name.as_str() == name);
        return found.map(Some).ok_or_else(|| Failure::unknown(name, &names));
    }
    if let Some(url) = url {
        let port = url.address.port();
        let at = |service: &&ServiceStatus| service.listen.iter().any(|listens| listens.port() == port);
        return Ok(services.iter().find(at));
    }
    let mut listening = services.iter().filter(|service| !service.listen.is_empty());
    Ok(listening.clone().find(|service| service.critical).or_else(|| listening.next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::ServiceName;
    use crate::model::phase::State;
    use crate::wire::status::tests::status;

    #[test]
    fn only_this_machine() {
        let shown = |text: &str| Target::parse(text).map(|target| target.to_string());
        assert_eq!(shown("http://localhost:3000/health"), Ok("http://127.0.0.1:3000/health".to_owned()));
        assert_eq!(shown("http://[::1]:3000?a=b"), Ok("http://[::1]:3000/?a=b".to_owned()));
        assert_eq!(shown("http://127.9.9.9"), Ok("http://127.9.9.9:80/".to_owned()));
        for wrong in ["http://example.invalid/", "https://127.0.0.1/", "http://10.0.0.1/", "127.0.0.1", ""] {
            assert_eq!(Target::parse(wrong).unwrap_err().code, exit_code::USAGE, "{wrong}");
        }
    }

    #[test]
    fn a_service_that_listens_everywhere_is_asked_here() {
        let target = Target::of_listener("0.0.0.0:3000".parse().unwrap(), "/health");
        assert_eq!(target.to_string(), "http://127.0.0.1:3000/health");
    }

    #[test]
    fn the_critical_one_comes_first() {
        let service = |name: &str, critical, port: Option<u16>| ServiceStatus {
            name: ServiceName::new(name).unwrap(),
            critical,
            listen: port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into_iter().collect(),
            ..status(State::Online, 1, None)
        };
        let all =
            [service("quiet", true, None), service("api", false, Some(1)), service("hook", true, Some(2))];
        let chosen = |name, url| {
            let found = choose(&all, name, url).map(|found| found.map(|service| service.name.to_string()));
            found.map_err(|failure| failure.code)
        };
        assert_eq!(chosen(None, None), Ok(Some("hook".to_owned())));
        assert_eq!(chosen(Some("quiet"), None), Ok(Some("quiet".to_owned())));
        assert_eq!(chosen(Some("none"), None), Err(exit_code::UNKNOWN_SERVICE));
        let url = Target::parse("http://127.0.0.1:1/x").unwrap();
        assert_eq!(chosen(None, Some(&url)), Ok(Some("api".to_owned())));
    }
}
