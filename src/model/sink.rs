//! Where lines of logs go beside their files: into systemd's journal, to a syslog receiver, to standard output.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::name::ServiceName;

/// The word for the log file itself, among the names of sinks.
pub const FILE: &str = "file";
/// Where systemd's journal listens.
pub const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where the syslog of a machine listens.
pub const DEV_LOG: &str = "/dev/log";
/// The longest message over UDP, bytes, unless written: what RFC 5426 wants every receiver to take.
pub const UDP_MESSAGE: u64 = 2048;
/// The same for the other transports.
pub const MESSAGE: u64 = 64 << 10;

/// The longest name of a unix socket in its folder, bytes. The folder may have any path: it is opened first, and the name
/// stands behind `/proc/self/fd/N` in the 108 bytes that unix(7) has for both.
const LONGEST_SOCKET_NAME: usize = 80;
/// The longest path, bytes: PATH_MAX without its NUL.
const LONGEST_PATH: usize = 4095;

/// A place for lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Its name, unique in the file.
    pub name: String,
    /// What it is.
    pub to: Target,
}

/// A sink, and the services whose lines it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The sink.
    pub sink: Sink,
    /// The services, in the order of the file.
    pub services: Vec<ServiceName>,
}

/// What a sink is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Target {
    /// systemd's journal, by its native protocol.
    Journald {
        /// Its socket.
        address: PathBuf,
    },
    /// A syslog receiver, by RFC 5424.
    Syslog {
        /// Where it listens.
        address: Address,
        /// The facility of all messages.
        facility: Facility,
        /// Longer messages are cut, bytes.
        max_message: u64,
    },
    /// The standard output of the `dogwatch up` that runs in the foreground: what a container shows.
    Stdout {
        /// What a line looks like there.
        format: Format,
    },
}

impl Target {
    /// The words for the kinds, as they stand in the file.
    pub const KINDS: [&str; 3] = ["journald", "syslog", "stdout"];

    /// One of [`Target::KINDS`] with nothing but defaults.
    pub fn of_kind(kind: &str) -> Option<Target> {
        match kind {
            "journald" => Some(Target::Journald { address: JOURNAL.into() }),
            "syslog" => Some(Target::Syslog {
                address: Address::Unix(DEV_LOG.into()),
                facility: Facility::default(),
                max_message: MESSAGE,
            }),
            "stdout" => Some(Target::Stdout { format: Format::default() }),
            _ => None,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Journald { .. } => Target::KINDS[0],
            Target::Syslog { .. } => Target::KINDS[1],
            Target::Stdout { .. } => Target::KINDS[2],
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Journald { address } => write!(to, "journald at {}", address.display()),
            Target::Syslog { address, .. } => write!(to, "syslog at {address}"),
            Target::Stdout { .. } => to.write_str("standard output"),
        }
    }
}

/// Where a syslog receiver listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// A unix socket, of datagrams or, if it is not, a stream.
    Unix(PathBuf),
    /// One datagram a message (RFC 5426).
    Udp(SocketAddr),
    /// A stream, each message with its length before it (RFC 6587, octet counting).
    Tcp(SocketAddr),
}

impl Address {
    /// The forms, for whoever wrote something else.
    const FORMS: &str = "write \"unix:/dev/log\", \"udp://127.0.0.1:514\" or \"tcp://127.0.0.1:601\"";

    /// Reads an address. Names are not looked up: what they mean may change while the file does not.
    ///
    /// # Errors
    /// What is wrong, and after a semicolon what would be right.
    pub fn parse(text: &str) -> Result<Address, String> {
        if text.starts_with("unix:") {
            return unix_path(text).map(Address::Unix);
        }
        let (make, rest): (fn(SocketAddr) -> Address, &str) =
            match (text.strip_prefix("udp://"), text.strip_prefix("tcp://")) {
                (Some(rest), _) => (Address::Udp, rest),
                (_, Some(rest)) => (Address::Tcp, rest),
                _ => return Err(format!("{text:?} is no address of a syslog; {}", Address::FORMS)),
            };
        match rest.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => {
                Err(format!("{text:?} has no port; 514 is syslog's, 601 that of syslog over TCP"))
            }
            Ok(address) => Ok(make(address)),
            Err(_) => Err(format!(
                "{rest:?} is not an IP address and a port; names are not looked up: write the number, like \
                 \"udp://127.0.0.1:514\""
            )),
        }
    }

    /// Whether other machines see what is sent there.
    pub fn leaves_the_machine(&self) -> bool {
        match self {
            Address::Unix(_) => false,
            Address::Udp(address) | Address::Tcp(address) => !address.ip().is_loopback(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(to, "unix:{}", path.display()),
            Address::Udp(address) => write!(to, "udp://{address}"),
            Address::Tcp(address) => write!(to, "tcp://{address}"),
        }
    }
}

/// The path in `unix:/PATH`.
///
/// # Errors
/// As [`Address::parse`].
pub fn unix_path(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").map(|rest| Path::new(rest.strip_prefix("//").unwrap_or(rest)));
    let Some((path, name)) =
        path.filter(|path| path.is_absolute()).and_then(|path| Some((path, path.file_name()?)))
    else {
        return Err(format!("{text:?} is no unix socket; write \"unix:/PATH\", with the whole path"));
    };
    let too_long = |what: &str, length: usize, most: usize| {
        Err(format!(
            "the {what} of this socket has {length} bytes, more than can be connected to; give it one of at most {most}"
        ))
    };
    match (name.len(), path.as_os_str().len()) {
        (length, _) if length > LONGEST_SOCKET_NAME => too_long("name", length, LONGEST_SOCKET_NAME),
        (_, length) if length > LONGEST_PATH => too_long("path", length, LONGEST_PATH),
        _ => Ok(path.to_owned()),
    }
}

/// The facility of syslog messages (RFC 5424, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facility(u8);

impl Facility {
    /// The words that syslog.conf(5) has for them; each stands at its number.
    pub const WORDS: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
        "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5",
        "local6", "local7",
    ];

    /// The facility at this place of [`Facility::WORDS`].
    pub fn at(place: usize) -> Facility {
        Facility(u8::try_from(place.min(Facility::WORDS.len() - 1)).expect("there are 24"))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// `daemon`.
impl Default for Facility {
    fn default() -> Facility {
        Facility(3)
    }
}

/// What a line looks like on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Its bytes, as the service wrote them.
    #[default]
    Raw,
    /// With the service's name before it.
    Named,
    /// One object a line, as `dogwatch logs --json` has it.
    Json,
}

impl Format {
    /// The words for them.
    pub const WORDS: [(&str, Format); 3] =
        [("raw", Format::Raw), ("named", Format::Named), ("json", Format::Json)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("unix:/dev/log", "unix:/dev/log"),
            ("unix:///run/log", "unix:/run/log"),
            ("udp://127.0.0.1:514", "udp://127.0.0.1:514"),
            ("tcp://[::1]:601", "tcp://[::1]:601"),
        ] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for wrong in
            ["", "unix:", "unix:dev/log", "udp://localhost:514", "tcp://127.0.0.1", "udp://1.2.3.4:0", "x"]
        {
            let why = Address::parse(wrong).unwrap_err();
            assert!(why.contains("; "), "{why}");
        }
        assert!(Address::parse("udp://10.0.0.1:514").unwrap().leaves_the_machine());
        assert!(!Address::parse("tcp://127.0.0.9:514").unwrap().leaves_the_machine());
    }

    #[test]
    fn a_unix_socket_may_stand_deep_but_its_name_must_fit() {
        let address =
            |folder: usize, name: usize| format!("unix:/{}/{}", "f/".repeat(folder), "n".repeat(name));
        assert!(unix_path(&address(200, 80)).is_ok());
        let why = unix_path(&address(1, 81)).unwrap_err();
        assert_eq!(
            why,
            "the name of this socket has 81 bytes, more than can be connected to; give it one of at most 80"
        );
        assert!(unix_path(&address(2100, 8)).unwrap_err().starts_with("the path of this socket has 42"));
    }

    #[test]
    fn every_kind_has_a_default_and_its_word() {
        for kind in Target::KINDS {
            assert_eq!(Target::of_kind(kind).unwrap().kind(), kind);
        }
        assert_eq!(Facility::at(16).number(), 16);
        assert_eq!(Facility::WORDS[usize::from(Facility::default().number())], "daemon");
    }
}
