//! The real program, asked as the platform asks it.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use service_testing::{LIMIT, Running, eventually};
use support::{Place, SECRET, TOKEN, click, payload, post, text};

fn written(webhook: &Running) -> i64 {
    webhook.get("/health").json()["events"]["written"].as_i64().expect("a number")
}

#[test]
fn verification_returns_the_challenge_to_who_knows_the_token() {
    let place = Place::new();
    let webhook = place.program().start();
    let ask = |query: &str| webhook.get(&format!("/webhook?{query}"));
    let right = ask(&format!("hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=a%3Cb%FF"));
    assert_eq!((right.status, right.body.as_slice()), (200, b"a<b\xff".as_slice()));
    assert_eq!(right.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(right.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        ask(&format!("hub%2Emode=subscribe&hub%2Everify_token={TOKEN}&hub%2Echallenge=1")).text(),
        "1"
    );
    assert_eq!(ask(&format!("hub.mode=subscribe&hub.verify_token={TOKEN}")).status, 400);
    for wrong in [
        "hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1".to_owned(),
        format!("hub.mode=other&hub.verify_token={TOKEN}&hub.challenge=1"),
        String::new(),
    ] {
        let answer = ask(&wrong);
        assert_eq!((answer.status, answer.text().as_str()), (403, "Forbidden"), "{wrong}");
    }
    assert!(!webhook.output().contains(TOKEN));
}

#[test]
fn only_signed_json_is_taken() {
    let place = Place::new();
    let webhook = place.program().start();
    let body = payload(&[click("wamid.1")]);
    let good = webhook::signature::sign(SECRET, body.as_bytes());
    let other = webhook::signature::sign("other", body.as_bytes());
    let send =
        |value: &str| webhook.request("POST", "/webhook", &[("X-Hub-Signature-256", value)], body.as_bytes());
    for wrong in ["", "sha256=", &other, &good[..70], &good.replace("sha256", "sha1")] {
        assert_eq!(send(wrong).status, 401, "{wrong}");
    }
    let answer = send(&good);
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    assert_eq!(post(&webhook, "{not json").status, 400);
    assert_eq!(post(&webhook, &"[".repeat(100_000)).status, 400);
    for strange in ["[]", "null", "{}", r#"{"entry": [1, null, {"changes": {}}]}"#] {
        assert_eq!(post(&webhook, strange).status, 200, "{strange}");
    }
    let too_long = [("Content-Length", "4194305")];
    assert_eq!(webhook.request("POST", "/webhook", &too_long, b"").status, 413);
    assert_eq!(webhook.request("PUT", "/webhook", &[], b"").status, 405);
    assert_eq!(webhook.get("/other").status, 404);
    assert_eq!(webhook.get("/health").json()["messages"]["rejected_signature"], 5);
}

#[test]
fn every_message_of_a_batch_is_written_once() {
    let place = Place::new();
    let webhook = place.program().start();
    let body = payload(&[
        click("wamid.1"),
        json!(null),
        text("wamid.2", "Grüße, please UNLOCK"),
        click("wamid.1"),
        json!({"id": "wamid.3", "from": "+15550100003", "type": "image", "image": {"mime_type": "image/png"}}),
    ]);
    assert_eq!(post(&webhook, &body).status, 200);
    assert_eq!(post(&webhook, &body).status, 200);
    eventually("three messages are written", || written(&webhook) == 3);
    assert_eq!(place.count("webhook_events"), 4);
    assert_eq!(place.count("webhook_events WHERE button_id = 'text_trigger'"), 1);
    assert_eq!(
        place.count("conversations WHERE direction = 'incoming' AND content = 'Grüße, please UNLOCK'"),
        1
    );
    assert_eq!(place.count("webhook_metrics WHERE button_clicks = 2 AND text_messages = 1"), 1);
    assert_eq!(
        place.count("webhook_events WHERE advisor_phone = '15550100003' AND message_type = 'image'"),
        1
    );
    let messages = webhook.get("/webhook/health").json()["messages"].clone();
    assert_eq!(
        (&messages["received"], &messages["duplicates"], &messages["ignored"]),
        (&json!(8), &json!(5), &json!(2))
    );

    let output = webhook.output();
    assert!(
        output.contains("…0001") && !output.contains("15550100001") && !output.contains("UNLOCK"),
        "{output}"
    );
}

#[test]
fn repeats_are_known_after_a_kill() {
    let place = Place::new();
    let webhook = place.program().start();
    let body = payload(&[click("wamid.1")]);
    assert_eq!(post(&webhook, &body).status, 200);
    eventually("it is written", || written(&webhook) == 1);
    webhook.kill();
    let webhook = place.program().start();
    assert_eq!(post(&webhook, &body).status, 200);
    assert_eq!(webhook.get("/health").json()["messages"]["duplicates"], 1);
    assert_eq!(place.count("webhook_events"), 1);
}

#[test]
fn a_locked_database_costs_no_answer_and_no_event() {
    let place = Place::new();
    let webhook = place.program().start();
    eventually("the database is there", || webhook.get("/health").json()["database"] == "connected");
    let lock = place.sql();
    lock.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    let mut slowest = Duration::ZERO;
    for number in 0..100 {
        let body = payload(&[click(&format!("wamid.{number}"))]);
        let start = Instant::now();
        assert_eq!(post(&webhook, &body).status, 200);
        slowest = slowest.max(start.elapsed());
    }
    // Far below the time that waiting for the lock would take; far above what a busy machine costs.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    eventually("it says so", || webhook.get("/health").json()["status"] == "degraded");
    eventually("all wait in the spool", || webhook.get("/health").json()["events"]["spooled"] == 100);
    webhook.kill();
    let webhook = place.program().start();
    lock.execute_batch("COMMIT").expect("the lock is given back");
    eventually("all are written", || written(&webhook) == 100);
    eventually("it is well", || webhook.get("/health").json()["status"] == "healthy");
}

#[test]
fn it_serves_without_a_folder_and_writes_when_there_is_one() {
    let place = Place::new();
    std::fs::write(place.path().join("data"), "in the way").expect("a file in the way");
    let webhook = place.program().start();
    assert_eq!(post(&webhook, &payload(&[text("wamid.1", "hello")])).status, 200);
    assert_eq!(webhook.get("/health").json()["database"], "unavailable");
    std::fs::remove_file(place.path().join("data")).expect("out of the way");
    eventually("it is written", || written(&webhook) == 1);
}

#[test]
fn large_reports_are_taken_also_many_at_a_time() {
    let place = Place::new();
    let webhook = place.program().start();
    std::thread::scope(|threads| {
        for sender in 0..20 {
            let webhook = &webhook;
            threads.spawn(move || {
                let body = payload(&[text(&format!("wamid.{sender}"), &"ä".repeat(1_000_000))]);
                assert_eq!(post(webhook, &body).status, 200);
            });
        }
    });
    eventually("all are written", || written(&webhook) == 20);
    assert_eq!(place.count("webhook_events WHERE length(json_extract(event_data, '$.text')) = 4096"), 20);
    let too_large = vec![b' '; 5 << 20];
    assert_eq!(webhook.request("POST", "/webhook", &[], &too_large).status, 413);
}

#[test]
fn who_had_connected_before_the_end_is_answered() {
    let place = Place::new();
    let webhook = place.program().start();
    let mut early = TcpStream::connect(webhook.address()).expect("connected");
    early.set_read_timeout(Some(LIMIT)).expect("a time limit");
    // Who comes later is taken later: `early` has been taken when this one is answered.
    assert_eq!(webhook.get("/health").status, 200);
    webhook.ask_to_end();
    eventually("nobody new is taken", || TcpStream::connect(webhook.address()).is_err());
    early.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    assert!(webhook.end().0.success());
}

#[test]
fn the_end_writes_what_waits() {
    let place = Place::new();
    let webhook = place.program().start();
    for number in 0..50 {
        assert_eq!(post(&webhook, &payload(&[click(&format!("wamid.{number}"))])).status, 200);
    }
    let (status, output) = webhook.end();
    assert_eq!(status.code(), Some(0), "{output}");
    assert_eq!(place.count("webhook_events"), 50);
}

#[test]
fn an_inherited_socket_is_served_and_the_supervisor_is_told() {
    let place = Place::new();
    let notify = place.path().join("notify");
    let supervisor = UnixDatagram::bind(&notify).expect("a socket");
    supervisor.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let told = || {
        let mut message = [0; 256];
        let length = supervisor.recv(&mut message).expect("the supervisor is told");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let kept = listener.try_clone().expect("a second holder");
    let notify = notify.to_str().expect("a path in UTF-8");
    let webhook = place.program().env("NOTIFY_SOCKET", notify).inherit(listener).start();
    assert_eq!(webhook.address(), address);
    assert!(told().contains("READY=1"));
    assert_eq!(webhook.get("/health").status, 200);
    let (status, _) = webhook.end();
    assert!(told().contains("STOPPING=1"));
    assert_eq!(status.code(), Some(0));
    drop(kept);
}

#[test]
fn a_bad_start_says_why() {
    let place = Place::new();
    let (code, said) = place.bare().fail();
    assert_eq!(code, Some(1));
    for name in [
        "WHATSAPP_VERIFY_TOKEN is not set",
        "WHATSAPP_APP_SECRET is not set",
        "WHATSAPP_ACCESS_TOKEN is not set: set it, or WHATSAPP_ACCESS_TOKEN_FILE",
        "WHATSAPP_PHONE_NUMBER_ID is not set",
    ] {
        assert!(said.contains(name), "{said}");
    }
    let (code, said) = place.program().arg("--unknown").fail();
    assert_eq!((code, said.contains("--unknown")), (Some(2), true), "{said}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, said) = place.program().env("WEBHOOK_PORT", &port).fail();
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");

    let open =
        place.program().env("WHATSAPP_APP_SECRET", "").env("WEBHOOK_BIND", "0.0.0.0").arg("--allow-unsigned");
    let (code, said) = open.fail();
    assert_eq!((code, said.contains("WHATSAPP_APP_SECRET")), (Some(1), true), "{said}");
}

#[test]
fn without_a_secret_only_where_it_is_allowed() {
    let place = Place::new();
    let webhook = place.program().env("WHATSAPP_APP_SECRET", "").arg("--allow-unsigned").start();
    assert_eq!(webhook.request("POST", "/webhook", &[], payload(&[click("wamid.1")]).as_bytes()).status, 200);
    eventually("it is written", || written(&webhook) == 1);
}

#[test]
fn a_test_event_can_be_sent() {
    let place = Place::new();
    let webhook = place.program().start();
    let send = |port: u16, secret: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_send-test-event"))
            .env_clear()
            .env("WEBHOOK_PORT", port.to_string())
            .env("WHATSAPP_APP_SECRET", secret)
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = send(webhook.address().port(), SECRET);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("200") && said.contains("/api/webhook/metrics") && said.contains("ws://127.0.0.1:"),
        "{said}"
    );
    eventually("it is written", || written(&webhook) == 1);
    let (code, said) = send(webhook.address().port(), "other");
    assert_eq!((code, said.contains("WHATSAPP_APP_SECRET")), (Some(1), true), "{said}");

    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let (code, said) = send(free.port(), SECRET);
    assert_eq!((code, said.contains("not reachable")), (Some(1), true), "{said}");
}
