//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use service_common::{About, ConfigError, Env, Secret};

use crate::probe::Target;

/// What the command line tells about this service.
pub(crate) const ABOUT: About = About {
    name: "dashboard-api-server",
    version: env!("CARGO_PKG_VERSION"),
    help: "dashboard-api: answers the questions of the dashboard from the events database

usage: dashboard-api

  -h, --help     this text
  -V, --version  name and version

environment:
  API_BIND, API_PORT  address to listen on (127.0.0.1, 3002), unless the socket is inherited; PORT is API_PORT
  API_TOKEN           bearer token that every request must carry (none; required unless on loopback);
                      or API_TOKEN_FILE, the path of a file whose first line is the token
  API_HOSTS           further host names that requests may name, with commas (none)
  CORS_ORIGINS        pages that may ask, with commas (http://localhost:8080,http://127.0.0.1:8080)
  CACHE_TTL_MS        how long metrics and conversations are kept (30000; 0: not at all)
  EVENTS_DB           the events database (data/webhook_events.db)
  DOGWATCH_STATUS_FD  set by dogwatch: the socket on which it is asked how all services are (none)
  WEBHOOK_HEALTH_URL  where the webhook says how it is (http://127.0.0.1:3000/health)
  WS_HEALTH_URL       where the WebSocket says how it is (http://127.0.0.1:3001/health)
  WS_URL              the WebSocket for browsers that do not reach it at the port of WS_HEALTH_URL
                      on the dashboard's own host, such as wss://board.example.invalid/ws (none)",
    flags: &[],
};

/// A configuration that was found good.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) token: Option<Secret>,
    pub(crate) hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) cache: Duration,
    pub(crate) database: PathBuf,
    pub(crate) webhook: Target,
    pub(crate) websocket: Target,
    pub(crate) websocket_url: Option<String>,
}

impl Config {
    pub(crate) fn read(mut env: Env) -> Result<Self, ConfigError> {
        let port = if env.text("API_PORT").is_some() { "API_PORT" } else { "PORT" };
        let config = Self {
            listen: env.listen_address("API_BIND", port, 3002),
            token: env.secret("API_TOKEN"),
            hosts: env.list("API_HOSTS", ""),
            origins: env.list("CORS_ORIGINS", "http://localhost:8080,http://127.0.0.1:8080"),
            cache: Duration::from_millis(env.number("CACHE_TTL_MS", 30_000, 0..=3_600_000)),
            database: env.path("EVENTS_DB", "data/webhook_events.db"),
            webhook: target(&mut env, "WEBHOOK_HEALTH_URL", "http://127.0.0.1:3000/health"),
            websocket: target(&mut env, "WS_HEALTH_URL", "http://127.0.0.1:3001/health"),
            websocket_url: websocket_url(&mut env),
        };
        env.finish()?;
        Ok(config)
    }
}

fn websocket_url(env: &mut Env) -> Option<String> {
    let url = env.text("WS_URL")?;
    let uri: Option<Uri> = url.parse().ok();
    if !uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some()) {
        env.mistake("WS_URL must be an address such as wss://board.example.invalid/ws".to_owned());
    }
    Some(url)
}

fn target(env: &mut Env, name: &str, default: &str) -> Target {
    let url = env.text(name).unwrap_or_else(|| default.to_owned());
    Target::parse(&url).unwrap_or_else(|| {
        env.mistake(format!("{name} must be an address of this machine, such as {default}"));
        Target::default()
    })
}
