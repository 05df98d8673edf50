//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use service_common::{About, ConfigError, Env, Secret};

/// What the command line tells about this service.
pub(crate) const ABOUT: About = About {
    name: "websocket-server",
    version: env!("CARGO_PKG_VERSION"),
    help: "websocket: pushes new events to the dashboards

usage: websocket

  -h, --help     this text
  -V, --version  name and version

environment:
  WS_BIND, WS_PORT  address to listen on (127.0.0.1, 3001), unless the socket is inherited
  WS_TOKEN          token that clients must show (API_TOKEN, else none; required unless on loopback);
                    or WS_TOKEN_FILE, the path of a file whose first line is the token
  API_PORT          port of the dashboard page on this host; it may connect (3002)
  API_HOSTS         further host names that requests may name, with commas (none)
  CORS_ORIGINS      further pages that may connect, with commas
                    (http://localhost:8080,http://127.0.0.1:8080)
  WS_MAX_CLIENTS    connections at a time (1000)
  HEARTBEAT_MS      who is silent for this long is asked, for twice as long dropped (30000)
  EVENTS_DB         the events database (data/webhook_events.db)",
    flags: &[],
};

/// A configuration that was found good.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) token: Option<Secret>,
    /// Where the dashboard page comes from.
    pub(crate) page_port: u16,
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) max_clients: u32,
    pub(crate) heartbeat: Duration,
    pub(crate) database: PathBuf,
}

impl Config {
    pub(crate) fn read(mut env: Env) -> Result<Self, ConfigError> {
        let config = Self {
            listen: env.listen_address("WS_BIND", "WS_PORT", 3001),
            token: env.secret("WS_TOKEN").or_else(|| env.secret("API_TOKEN")),
            page_port: u16::try_from(env.number("API_PORT", 3002, 0..=65_535)).unwrap_or(3002),
            hosts: env.list("API_HOSTS", ""),
            origins: env.list("CORS_ORIGINS", "http://localhost:8080,http://127.0.0.1:8080"),
            max_clients: u32::try_from(env.number("WS_MAX_CLIENTS", 1000, 1..=100_000)).unwrap_or(1000),
            heartbeat: Duration::from_millis(env.number("HEARTBEAT_MS", 30_000, 10..=3_600_000)),
            database: env.path("EVENTS_DB", "data/webhook_events.db"),
        };
        env.finish()?;
        Ok(config)
    }
}
