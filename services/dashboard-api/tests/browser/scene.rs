//! The three real services in a folder of their own, and a browser that looks at their page.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};
use service_testing::{LIMIT, Program, Running};
use tempfile::TempDir;

use crate::devtools::Browser;

/// Webhook and API run; the WebSocket comes and goes.
pub struct Scene {
    pub webhook: Running,
    pub api: Running,
    /// Held open here, as dogwatch does: who connects meanwhile waits.
    socket: Option<TcpListener>,
    websocket: SocketAddr,
    token: &'static str,
    folder: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        Self::with_token("")
    }

    /// With this token; an empty one is none.
    pub fn with_token(token: &'static str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let webhook = Program::new(&program("webhook"), folder.path())
            .arg("--allow-unsigned")
            .env("WEBHOOK_PORT", "0")
            .env("WHATSAPP_VERIFY_TOKEN", "example-verify-token")
            .env("WHATSAPP_ACCESS_TOKEN", "example-access-token")
            .env("WHATSAPP_PHONE_NUMBER_ID", "100000000001234")
            .start();
        let socket = free_port();
        let websocket = socket.local_addr().expect("an address");
        let api = Program::new(env!("CARGO_BIN_EXE_dashboard-api"), folder.path())
            .env("API_PORT", "0")
            .env("API_TOKEN", token)
            // What a test does shall be seen at once.
            .env("CACHE_TTL_MS", "0")
            .env("WEBHOOK_HEALTH_URL", &format!("http://{}/health", webhook.address()))
            .env("WS_HEALTH_URL", &format!("http://{websocket}/health"))
            .start();
        Self { webhook, api, socket: Some(socket), websocket, token, folder }
    }

    /// From now on nobody listens while the WebSocket does not run.
    pub fn release_socket(&mut self) {
        self.socket = None;
    }

    /// Starts the WebSocket, always on the same port.
    pub fn start_websocket(&self) -> Running {
        let program = Program::new(&program("websocket"), self.folder.path())
            .env("API_PORT", &self.api.address().port().to_string())
            .env("API_TOKEN", self.token);
        match &self.socket {
            Some(socket) => program.inherit(socket.try_clone().expect("the same socket")).start(),
            None => program.env("WS_PORT", &self.websocket.port().to_string()).start(),
        }
    }

    pub fn sql(&self) -> Connection {
        let path = self.folder.path().join("data/webhook_events.db");
        let sql = Connection::open(path).expect("the database opens");
        sql.busy_timeout(LIMIT).expect("a time limit");
        sql
    }

    /// Adds clicks in one commit.
    pub fn insert(&self, count: u32) {
        let mut sql = self.sql();
        let commit = sql.transaction().expect("a transaction");
        for _ in 0..count {
            commit
                .execute(
                    "INSERT INTO webhook_events (event_type, button_id) VALUES ('button_click', 'many')",
                    [],
                )
                .expect("a row");
        }
        commit.commit().expect("committed");
    }

    /// Adds an event in which a text stands wherever one may.
    pub fn insert_one(&self, kind: &str, text: &str, data: &Value) {
        self.sql()
            .execute(
                "INSERT INTO webhook_events (event_type, button_id, advisor_phone, message_type, event_data)
                 VALUES (?1, ?2, ?2, ?2, ?3)",
                (kind, text, data.to_string()),
            )
            .expect("a row");
    }

    /// A browser with the page open.
    pub fn open(&self) -> Browser {
        let mut browser = Browser::start();
        browser.open(&self.url());
        browser
    }

    pub fn url(&self) -> String {
        format!("http://{}/dashboard", self.api.address())
    }

    /// Posts a click on `button`, as the platform does.
    pub fn click(&self, button: &str) {
        self.post(json!({"type": "interactive", "interactive":
            {"type": "button_reply", "button_reply": {"id": button, "title": button}}}));
    }

    pub fn write(&self, text: &str) {
        self.post(json!({"type": "text", "text": {"body": text}}));
    }

    fn post(&self, mut message: Value) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        message["id"] = format!("wamid.{}", NEXT.fetch_add(1, Ordering::Relaxed)).into();
        message["from"] = "15550100001".into();
        let value = json!({"messaging_product": "whatsapp", "messages": [message]});
        let payload = json!({"object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": value}]}]});
        let answer = self.webhook.request("POST", "/webhook", &[], payload.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// A port below those that the kernel gives to clients: nobody takes it while it is not held.
fn free_port() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 8_000).expect("below 8000");
    (0..1_000)
        .find_map(|_| {
            let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
            TcpListener::bind(("127.0.0.1", port)).ok()
        })
        .expect("a free port")
}

/// A program of another package, built beside ours.
fn program(name: &str) -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_dashboard-api")).with_file_name(name);
    let shown = path.display();
    assert!(path.exists(), "{shown} is missing; build all programs first: cargo build --workspace");
    shown.to_string()
}
