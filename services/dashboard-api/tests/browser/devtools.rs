//! A headless Chromium, spoken to over a pipe in the words of its DevTools protocol: JSON, a NUL after
//! each message. It ends when the pipe does, and so never outlives the test, however that ends.

use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use serde_json::{Value, json};
use service_testing::{LIMIT, eventually};
use tempfile::TempDir;

/// What keeps it quiet: it asks nobody but this machine, and keeps no report of anything.
const QUIET: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

const FAREWELL: Duration = Duration::from_secs(5);

/// A browser with one tab.
pub struct Browser {
    process: Child,
    messages: Receiver<Value>,
    pipe: Option<ChildStdin>,
    last_id: u64,
    session: Option<String>,
    complaints: Vec<String>,
    profile: TempDir,
}

/// What the reader of the page would like; also, that nothing moves.
#[derive(Clone, Copy)]
pub struct Wishes {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

impl Browser {
    /// Starts one; CHROMIUM names the program.
    pub fn start() -> Self {
        let profile = TempDir::new().expect("a temporary folder");
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let mut command = Command::new("/bin/sh");
        // It reads from descriptor 3 and writes to 4.
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, &program]).args(QUIET);
        command.arg(format!("--user-data-dir={}", profile.path().display())).env("HOME", profile.path());
        if geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn();
        let mut process = spawned.expect("a shell");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the protocol is JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let pipe = process.stdin.take();
        let mut browser =
            Self { process, messages, pipe, last_id: 0, session: None, complaints: Vec::new(), profile };
        browser.open_tab();
        browser
    }

    fn open_tab(&mut self) {
        let tab = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            self.call("Target.attachToTarget", json!({"targetId": tab["targetId"], "flatten": true}));
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// One command and its result.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "they are made for this call")]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.exchange(method, &parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// One command, and its result or what was wrong with it.
    #[track_caller]
    fn exchange(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let pipe = self.pipe.as_mut().expect("it is open until the end");
        pipe.write_all(format!("{message}\0").as_bytes()).expect("is chromium installed, and running?");
        let deadline = Instant::now() + LIMIT;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let mut message = self.messages.recv_timeout(patience).unwrap_or_else(|error| {
                panic!("no answer to {method}: {error}; is chromium installed (tests/install-needs)?")
            });
            if message["id"] == self.last_id {
                let error = message["error"].take();
                return if error.is_null() { Ok(message["result"].take()) } else { Err(error) };
            }
            self.complaints.extend(complaint(&message));
        }
    }

    /// How wide the window is, and what its reader prefers.
    pub fn wish(&mut self, wishes: Wishes) {
        let Wishes { width, height, dark } = wishes;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Runs `script` in every page before the page's own.
    pub fn before_each_page(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    }

    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// The value of an expression; a promise is waited for.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, condition: &str) {
        let parameters = json!({"expression": format!("Boolean({condition})"), "returnByValue": true});
        // While a page is being loaded, there may be nobody to ask, or nothing there to ask about.
        let is_true =
            |answer: Result<Value, Value>| answer.is_ok_and(|given| given["result"]["value"] == true);
        eventually(condition, || is_true(self.exchange("Runtime.evaluate", &parameters)));
    }

    /// The text of the first element that a selector finds.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().expect("a text").to_owned()
    }

    /// Presses and releases a key: `Tab`, `Enter`, `Escape`, `ArrowRight`, or a space.
    pub fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Escape" => ("Escape", 27, ""),
            "ArrowRight" => ("ArrowRight", 39, ""),
            " " => ("Space", 32, " "),
            other => panic!("no test presses {other}"),
        };
        let mut event = json!({"type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number});
        if !text.is_empty() {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Everything that the page, or the browser about the page, complained of since the last time.
    pub fn complaints(&mut self) -> Vec<String> {
        // An answer comes after all that was said before.
        self.value("0");
        std::mem::take(&mut self.complaints)
    }

    /// Writes what is seen to a file.
    pub fn screenshot(&mut self, file: &Path) {
        let image = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = BASE64.decode(image["data"].as_str().expect("an image")).expect("base64");
        std::fs::write(file, bytes).expect("written");
    }

    /// Ends it, and waits until no process is left of it.
    pub fn end(mut self) {
        self.finish();
        let profile = self.profile.path().display().to_string();
        let command = |entry: DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        eventually("no process of the browser is left", || {
            let mut commands = std::fs::read_dir("/proc").expect("/proc").flatten().map(command);
            !commands.any(|command| String::from_utf8_lossy(&command).contains(&profile))
        });
    }

    fn finish(&mut self) {
        // Without the pipe it ends in good order, with all its processes; else it is killed.
        self.pipe = None;
        let deadline = Instant::now() + FAREWELL;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            let group = Pid::from_raw(i32::try_from(self.process.id()).expect("process ids are small"));
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a developer would see in red.
fn complaint(event: &Value) -> Option<String> {
    let details = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(details["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if details["type"] == "error" => Some(details["args"].to_string()),
        "Log.entryAdded" if details["entry"]["level"] == "error" => {
            let entry = &details["entry"];
            Some(format!("{} {}", entry["text"].as_str()?, entry["url"].as_str().unwrap_or_default()))
        }
        _ => None,
    }
}
