//! A folder with the services' files: the database, the spool, the content.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use serde_json::json;
use tempfile::TempDir;

use crate::platform::{ACCESS_TOKEN, NUMBER_ID, SECRET, VERIFY_TOKEN};
use crate::{LIMIT, Start, eventually, old};

/// Nobody answers here.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The folder; it goes away with this.
pub struct Place(TempDir);

impl Place {
    /// Without a database.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn bare() -> Self {
        let place = Self(TempDir::new().expect("a temporary folder"));
        let content = json!([
            {"id": "market_analysis", "type": "text", "content": "A neutral text."},
            {"id": "market_overview", "type": "image", "url": "https://example.invalid/overview.png", "caption": "A neutral caption."},
        ]);
        fs::write(place.path("content.json"), content.to_string()).expect("the content file");
        place
    }

    /// With an original database without rows.
    #[must_use]
    pub fn empty() -> Self {
        let place = Self::bare();
        old::create(&place.database());
        place
    }

    /// With an original database that has seen some years.
    #[must_use]
    pub fn lived_in() -> Self {
        let place = Self::empty();
        old::fill(&place.sql());
        place
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the services look for the database unless told otherwise.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path("data/webhook_events.db")
    }

    /// Where events wait while the database is away.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.path("data/events.spool")
    }

    /// The database, as any other program opens it.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    #[track_caller]
    pub fn sql(&self) -> Connection {
        let sql = Connection::open(self.database()).expect("the database opens");
        sql.busy_timeout(LIMIT).expect("a time limit");
        sql
    }

    /// One value.
    ///
    /// # Panics
    /// When the query fails.
    #[must_use]
    #[track_caller]
    pub fn value<T: FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Statements.
    ///
    /// # Panics
    /// When one fails.
    #[track_caller]
    pub fn execute(&self, statements: &str) {
        self.sql().execute_batch(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Waits until the query counts this many.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn until(&self, query: &str, count: i64) {
        eventually(&format!("{query} is {count}"), || self.try_count(query) == Some(count));
    }

    /// One number, if the database can answer now.
    #[must_use]
    pub fn try_count(&self, query: &str) -> Option<i64> {
        let sql = Connection::open(self.database()).ok()?;
        sql.busy_timeout(LIMIT).ok()?;
        sql.query_row(query, [], |row| row.get(0)).ok()
    }

    /// The webhook, with all it requires.
    #[must_use]
    pub fn webhook(&self) -> Start {
        Start::new("webhook", "WEBHOOK_PORT", self.0.path().to_owned())
            .env("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN)
            .env("WHATSAPP_APP_SECRET", SECRET)
            .env("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN)
            .env("WHATSAPP_PHONE_NUMBER_ID", NUMBER_ID)
            .env("GRAPH_API_BASE", NOWHERE)
    }

    /// The dashboard API; nobody answers on the ports of the others, unless a test says so.
    #[must_use]
    pub fn api(&self) -> Start {
        Start::new("dashboard-api", "API_PORT", self.0.path().to_owned())
            .env("WEBHOOK_HEALTH_URL", &format!("{NOWHERE}/health"))
            .env("WS_HEALTH_URL", &format!("{NOWHERE}/health"))
    }

    /// The WebSocket server.
    #[must_use]
    pub fn websocket(&self) -> Start {
        Start::new("websocket", "WS_PORT", self.0.path().to_owned())
    }
}
