//! What all tests of the webhook use: a folder of its own for the real program, and what the platform sends.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use service_testing::{Answer, LIMIT, Program, Running};
use tempfile::TempDir;

pub const SECRET: &str = "example-app-secret";
pub const TOKEN: &str = "example-verify-token";
pub const ACCESS_TOKEN: &str = "example-access-token";

pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub fn bare(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_webhook"), self.0.path()).env("WEBHOOK_PORT", "0")
    }

    pub fn program(&self) -> Program {
        self.bare()
            .env("WHATSAPP_VERIFY_TOKEN", TOKEN)
            .env("WHATSAPP_APP_SECRET", SECRET)
            .env("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN)
            .env("WHATSAPP_PHONE_NUMBER_ID", "100000000001234")
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn database(&self) -> PathBuf {
        self.0.path().join("data/webhook_events.db")
    }

    pub fn sql(&self) -> Connection {
        let sql = Connection::open(self.database()).expect("the database opens");
        sql.busy_timeout(LIMIT).expect("a time limit");
        sql
    }

    pub fn count(&self, what: &str) -> i64 {
        self.sql().query_row(&format!("SELECT COUNT(*) FROM {what}"), [], |row| row.get(0)).expect("a count")
    }
}

pub fn post(webhook: &Running, body: &str) -> Answer {
    let signature = webhook::signature::sign(SECRET, body.as_bytes());
    webhook.request("POST", "/webhook", &[("X-Hub-Signature-256", &signature)], body.as_bytes())
}

pub fn payload(messages: &[Value]) -> String {
    let value = json!({"messaging_product": "whatsapp", "messages": messages});
    json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]})
        .to_string()
}

pub fn click(id: &str) -> Value {
    json!({"from": "15550100001", "id": id, "type": "interactive", "interactive":
        {"type": "button_reply", "button_reply": {"id": "market", "title": "Market"}}})
}

pub fn text(id: &str, body: &str) -> Value {
    json!({"from": "15550100002", "id": id, "type": "text", "text": {"body": body}})
}
