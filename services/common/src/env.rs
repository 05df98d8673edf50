//! Configuration from the environment: every variable is read and checked before any mistake is told.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::{Secret, log};

const MAX_SECRET: u64 = 64 * 1024;

/// Reads variables and remembers what was wrong with them until [`Env::finish`].
#[derive(Debug)]
pub struct Env {
    variables: HashMap<String, String>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
}

/// Everything that is wrong with the configuration, one line each. Values are never shown.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start with this configuration: {}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl Env {
    /// The environment of this process. An empty variable counts as not set.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_pairs(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment made of these pairs.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { variables, mistakes: Vec::new(), warnings: Vec::new() }
    }

    /// The value, if it is set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// A value without which the service cannot work; nothing secret.
    pub fn required_text(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.mistakes.push(format!("{name} is not set: set it in the environment"));
            String::new()
        })
    }

    /// A path, or its default.
    #[must_use]
    pub fn path(&self, name: &str, default: &str) -> PathBuf {
        PathBuf::from(self.variables.get(name).map_or(default, String::as_str))
    }

    /// The parts of a comma list, or of its default.
    #[must_use]
    pub fn list(&self, name: &str, default: &str) -> Vec<String> {
        let list = self.variables.get(name).map_or(default, String::as_str);
        list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// A whole number within `range`, or its default.
    pub fn number(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.variables.get(name) else {
            return default;
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = range.into_inner();
                self.mistakes.push(format!("{name} must be a whole number from {low} to {high}"));
                default
            }
        }
    }

    /// The address to listen on, from an address and a port variable. Names are not looked up:
    /// `localhost` means 127.0.0.1, everything else is an IP address.
    pub fn listen_address(&mut self, bind: &str, port: &str, default_port: u16) -> SocketAddr {
        let port = self.number(port, u64::from(default_port), 0..=u64::from(u16::MAX));
        let port = u16::try_from(port).unwrap_or(default_port);
        let ip = match self.variables.get(bind).map_or("127.0.0.1", String::as_str) {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            address => address.parse().unwrap_or_else(|_| {
                self.mistakes.push(format!("{bind} must be an IP address, such as 127.0.0.1"));
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }),
        };
        SocketAddr::new(ip, port)
    }

    /// A secret from `NAME`, or from the first line of the file that `NAME_FILE` names. A file that
    /// everybody can read is taken, with a warning: some container systems make them so.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        let file_variable = format!("{name}_FILE");
        match (self.text(name), self.text(&file_variable)) {
            (Some(_), Some(_)) => {
                self.mistakes.push(format!("{name} and {file_variable} are both set: keep one of them"));
                None
            }
            (Some(value), None) => Some(Secret::new(value)),
            (None, Some(path)) => match read_secret(&path) {
                Ok((content, is_open)) => match content.lines().next().map(str::trim) {
                    Some(line) if !line.is_empty() => {
                        if is_open {
                            let what = "everybody on this machine can read";
                            self.warnings
                                .push(format!("{file_variable}: {what} {path}; run: chmod o-r {path}"));
                        }
                        Some(Secret::new(line.to_owned()))
                    }
                    _ => {
                        self.mistakes.push(format!("{file_variable}: {path} is empty"));
                        None
                    }
                },
                Err(error) => {
                    self.mistakes.push(format!("{file_variable}: cannot read {path}: {error}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// A secret without which the service cannot work.
    pub fn required_secret(&mut self, name: &str) -> Secret {
        let already_told = self.mistakes.len();
        self.secret(name).unwrap_or_else(|| {
            if self.mistakes.len() == already_told {
                self.mistakes
                    .push(format!("{name} is not set: set it, or {name}_FILE to a file that holds it"));
            }
            Secret::new(String::new())
        })
    }

    /// Adds a mistake that only the caller can see.
    pub fn mistake(&mut self, mistake: String) {
        self.mistakes.push(mistake);
    }

    /// Ends the reading. What is unwise but works is told in the log.
    ///
    /// # Errors
    /// All mistakes found, if any.
    pub fn finish(self) -> Result<(), ConfigError> {
        for warning in &self.warnings {
            log::error(format_args!("{warning}"));
        }
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError(self.mistakes)) }
    }
}

/// What is in the file, up to a size no secret has, and whether everybody may read it.
fn read_secret(path: &str) -> io::Result<(String, bool)> {
    let file = File::open(path)?;
    let is_open = file.metadata()?.permissions().mode() & 0o004 != 0;
    let mut content = String::new();
    file.take(MAX_SECRET).read_to_string(&mut content)?;
    Ok((content, is_open))
}

#[cfg(test)]
mod tests {
    use super::Env;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut env = env(&[("BIND", "example.invalid"), ("PORT", "70000"), ("EMPTY", "")]);
        let _ = env.listen_address("BIND", "PORT", 3000);
        let _ = env.required_secret("EMPTY");
        let told = env.finish().expect_err("three mistakes").to_string();
        for name in ["BIND must", "PORT must", "EMPTY is not set"] {
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn names_are_not_looked_up() {
        let mut env = env(&[("BIND", "localhost"), ("PORT", "0")]);
        assert_eq!(env.listen_address("BIND", "PORT", 3000).to_string(), "127.0.0.1:0");
        assert_eq!(env.finish(), Ok(()));
    }

    #[test]
    fn lists_lose_their_spaces() {
        assert_eq!(env(&[("L", " a, ,b ")]).list("L", "x"), ["a", "b"]);
        assert_eq!(env(&[]).list("L", "x"), ["x"]);
    }
}
