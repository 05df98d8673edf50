//! §2.1 to 2.5, 2.7, 2.8: the webhook and who posts to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use conformance::platform::{self, VERIFY_TOKEN, change, click, entry, envelope, sign, status, text, with};
use conformance::{Answer, Place, Service, eventually, pass, socket};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const COUNT: &str = "SELECT COUNT(*) FROM webhook_events";
const LIMIT: usize = 4 << 20;

fn started() -> (Place, Service) {
    let place = Place::bare();
    let webhook = place.webhook().start();
    (place, webhook)
}

fn verify(webhook: &Service, query: &str) -> Answer {
    webhook.get(&format!("/webhook?{query}"))
}

fn counter(webhook: &Service, name: &str) -> i64 {
    webhook.get("/health").json()["messages"][name].as_i64().unwrap()
}

/// §2.1: mode and token right: 200, body = the decoded challenge byte for byte, text/plain, nosniff
#[test]
fn the_challenge_comes_back_byte_for_byte_as_plain_text() {
    let (_place, webhook) = started();
    let challenges: [(&str, &[u8]); 6] = [
        ("1158201444", b"1158201444"),
        ("%3Cscript%3E", b"<script>"),
        ("%FF%00%0D%0A", b"\xff\x00\r\n"),
        ("a+b%2Bc", b"a b+c"),
        ("%C3%A4", "\u{e4}".as_bytes()),
        ("100%25", b"100%"),
    ];
    for (sent, back) in challenges {
        for names in [
            ["hub.mode", "hub.verify_token", "hub.challenge"],
            ["hub%2Emode", "hub%2Everify_token", "%68ub.challenge"],
        ] {
            let [mode, token, challenge] = names;
            let answer =
                verify(&webhook, &format!("{mode}=subscribe&{token}={VERIFY_TOKEN}&{challenge}={sent}"));
            assert_eq!((answer.status, answer.body.as_slice()), (200, back), "{sent}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }
}

/// §2.1: token right but no or empty challenge: 400
#[test]
fn no_challenge_is_400() {
    let (_place, webhook) = started();
    for rest in ["", "&hub.challenge="] {
        assert_eq!(
            verify(&webhook, &format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}{rest}")).status,
            400
        );
    }
}

/// §2.1: all else: 403, body `Forbidden`; a token is never logged or returned; no signature on GET
/// §8: payloads and token in logs
#[test]
fn everything_else_is_403_and_tokens_stay_secret() {
    let (_place, webhook) = started();
    let wrong = [
        String::new(),
        "hub.challenge=1".to_owned(),
        "hub.mode=subscribe&hub.challenge=1".to_owned(),
        "hub.mode=subscribe&hub.verify_token=&hub.challenge=1".to_owned(),
        "hub.mode=subscribe&hub.verify_token=guessed-token&hub.challenge=1".to_owned(),
        format!("hub.mode=unsubscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"),
        format!("hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"),
        format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}x&hub.challenge=1"),
        format!("hub.mode=subscribe&hub.verify_token={}&hub.challenge=1", &VERIFY_TOKEN[1..]),
    ];
    for query in &wrong {
        let answer = verify(&webhook, query);
        assert_eq!((answer.status, answer.text().as_str()), (403, "Forbidden"), "{query}");
    }
    let said = webhook.end();
    assert!(!said.contains(VERIFY_TOKEN) && !said.contains("guessed-token"), "{said}");
}

/// §2.2: declared length > 4 MiB: 413 at once, before the body and before the signature
#[test]
fn a_declared_length_above_4_mib_is_413_at_once() {
    let (_place, webhook) = started();
    let mut stream = webhook.connect();
    write!(stream, "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", LIMIT + 1)
        .unwrap();
    assert_eq!(socket::read_answer(&mut stream).status, 413);
}

/// §2.2: bodies up to 4 MiB are read, chunked too; beyond: 413 and close
/// §8: 100 kB body limit (Meta sends up to 3 MB)
#[test]
fn bodies_are_read_up_to_4_mib() {
    let (place, webhook) = started();
    let mut body = envelope(&json!({"messages": [click("wamid.1")]})).to_string().into_bytes();
    body.resize(LIMIT, b' ');
    let answer = platform::post_bytes(&webhook, &body);
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    place.until(COUNT, 1);
    let chunked = |pieces: &[&[u8]]| {
        let mut stream = webhook.connect();
        let signature = sign(&pieces.concat());
        let _ = write!(
            stream,
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nX-Hub-Signature-256: {signature}\r\n\r\n"
        );
        for piece in pieces.iter().chain([&&b""[..]]) {
            let _ = write!(stream, "{:x}\r\n", piece.len());
            let _ = stream.write_all(piece);
            let _ = stream.write_all(b"\r\n");
        }
        let status = socket::read_answer(&mut stream).status;
        (status, stream)
    };
    let small = envelope(&json!({"messages": [click("wamid.2")]})).to_string();
    let (first, rest) = small.as_bytes().split_at(40);
    assert_eq!(chunked(&[first, rest]).0, 200);
    place.until(COUNT, 2);
    let (status, mut stream) = chunked(&[&body, b" "]);
    assert_eq!(status, 413);
    // Closed, politely or not, but never read on for ever.
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
}

/// §2.2: header or body not complete in 10 s: 408 or close
/// §4.5: a handshake not complete in 10 s: close
#[test]
fn who_does_not_finish_in_10_seconds_is_let_go() {
    let (place, webhook) = started();
    let websocket = place.websocket().start();
    let cases = [
        (&webhook, ""),
        (&webhook, "POST /webhook HT"),
        (&webhook, "POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n"),
        (&webhook, "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"),
        (&webhook, "POST /webhook HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
        (&websocket, ""),
        (&websocket, "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: web"),
    ];
    std::thread::scope(|scope| {
        for (service, start) in cases {
            scope.spawn(move || {
                let begin = Instant::now();
                let mut stream = service.connect();
                stream.write_all(start.as_bytes()).unwrap();
                let mut answer = Vec::new();
                let end = stream.read_to_end(&mut answer);
                let waited = begin.elapsed().as_secs_f64();
                assert!((9.0..15.0).contains(&waited), "{start:?}: {waited} s, {end:?}");
                let answer = String::from_utf8_lossy(&answer);
                assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{start:?}: {answer}");
            });
        }
    });
}

/// §2.2: signature: missing, other algorithm, wrong length, non-hex: 401; the sha1 header is ignored
/// §2.7: rejected signatures are counted
/// §8: no signature check
#[test]
fn only_the_right_signature_is_taken() {
    let (place, webhook) = started();
    let body = envelope(&json!({"messages": [click("wamid.1")]})).to_string();
    let good = sign(body.as_bytes());
    let digits = good.trim_start_matches("sha256=");
    let wrong = [
        String::new(),
        "sha256=".to_owned(),
        digits.to_owned(),
        format!("sha1={}", &digits[..40]),
        format!("sha512={digits}"),
        format!("sha256={}", &digits[..62]),
        format!("sha256={digits}00"),
        format!("sha256={}", "0".repeat(64)),
        format!("sha256={}zz", &digits[..62]),
        sign(b"other"),
    ];
    let mut expected = 1;
    assert_eq!(webhook.send("POST", "/webhook", &[], body.as_bytes()).status, 401, "none");
    for value in &wrong {
        let answer = webhook.send("POST", "/webhook", &[("X-Hub-Signature-256", value)], body.as_bytes());
        assert_eq!(answer.status, 401, "{value:?}");
        expected += 1;
    }
    let sha1 = ("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000");
    assert_eq!(webhook.send("POST", "/webhook", &[sha1], body.as_bytes()).status, 401);
    assert_eq!(counter(&webhook, "rejected_signature"), expected + 1);
    assert_eq!(place.try_count(COUNT).unwrap_or(0), 0);
    let both = [sha1, ("X-Hub-Signature-256", good.as_str())];
    assert_eq!(webhook.send("POST", "/webhook", &both, body.as_bytes()).status, 200);
}

/// §2.2: HMAC over the raw bytes received: never hash a re-serialised body
#[test]
fn the_signature_is_over_the_raw_bytes() {
    let (place, webhook) = started();
    let raw = r#"{ "object":"whatsapp_business_account" ,"entry":[{"changes":[{"value":{"messages":[{"from":"15550100001","id":"wamid.\u00e4\/1","type":"text","text":{"body":"h\u00e4\/"}}]},"field":"messages"}]}]}"#;
    assert_eq!(platform::post_bytes(&webhook, raw.as_bytes()).status, 200);
    place.until(COUNT, 1);
    assert_eq!(place.value::<String>("SELECT event_data ->> 'text' FROM webhook_events"), "h\u{e4}/");
    let again: Value = serde_json::from_str(raw).unwrap();
    let answer = webhook.send(
        "POST",
        "/webhook",
        &[("X-Hub-Signature-256", &sign(again.to_string().as_bytes()))],
        raw.as_bytes(),
    );
    assert_eq!(answer.status, 401);
}

/// §2.2: not one JSON value in UTF-8: 400; the signature is checked before; deep nesting does not overflow the stack
#[test]
fn what_is_not_one_json_value_is_400() {
    let (_place, webhook) = started();
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 8] =
        [b"", b"{", b"not JSON", b"{}{}", b"{} x", b"\"\xff\"", b"\x00", deep.as_bytes()];
    for body in bodies {
        assert_eq!(platform::post_bytes(&webhook, body).status, 400, "{}", String::from_utf8_lossy(body));
        assert_eq!(webhook.send("POST", "/webhook", &[], body).status, 401);
    }
    let deep_but_whole = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let status = platform::post_bytes(&webhook, deep_but_whole.as_bytes()).status;
    assert!([200, 400].contains(&status), "{status}");
    assert_eq!(webhook.get("/health").status, 200);
}

/// §2.2: signed JSON is answered 200 `OK`, always, whatever the content
#[test]
fn signed_json_is_answered_ok_whatever_the_content() {
    let (_place, webhook) = started();
    let contents = [
        json!(null),
        json!(1),
        json!("text"),
        json!([]),
        json!({}),
        json!({"entry": null}),
        json!({"entry": {}}),
        json!({"entry": [1, null, [], {"changes": 5}, {"changes": [null, {"value": 1}, {"field": 7, "value": []}]}]}),
        envelope(&json!({"messages": null, "statuses": 1, "errors": "x", "contacts": 0})),
        envelope(&json!({"messages": [{}]})),
        json!({"object": "something_else", "entry": []}),
    ];
    for content in contents {
        platform::deliver(&webhook, &content);
    }
}

/// §2.2: other methods 405, other paths 404
#[test]
fn other_methods_are_405_and_other_paths_404() {
    let (_place, webhook) = started();
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(webhook.ask(method, "/webhook", &[]).status, 405, "{method}");
    }
    for path in ["/", "/webhook/", "/webhooks", "/other", "/healthy"] {
        assert_eq!(webhook.get(path).status, 404, "{path}");
    }
}

/// §2.2: no app secret configured: refuse to start unless --allow-unsigned (dev, loopback only)
#[test]
fn without_a_secret_it_starts_only_on_request_and_on_loopback() {
    let place = Place::bare();
    let unsigned = || place.webhook().without("WHATSAPP_APP_SECRET");
    assert!(unsigned().refused().contains("WHATSAPP_APP_SECRET"));
    unsigned().arg("--allow-unsigned").env("WEBHOOK_BIND", "0.0.0.0").refused();
    let webhook = unsigned().arg("--allow-unsigned").start();
    let body = envelope(&json!({"messages": [click("wamid.1")]})).to_string();
    assert_eq!(webhook.send("POST", "/webhook", &[], body.as_bytes()).status, 200);
}

/// §2.2: default bind 127.0.0.1
/// §3.2: default bind loopback
#[test]
fn all_three_listen_on_127_0_0_1_alone() {
    let place = Place::empty();
    for service in [place.webhook().start(), place.api().start(), place.websocket().start()] {
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], service.address().port()));
        assert!(TcpStream::connect(elsewhere).is_err(), "{elsewhere}");
    }
}

/// §2.3: every entry × change × message/status counts
/// §8: only the first message of a batch
#[test]
fn every_entry_change_message_and_status_counts() {
    let (place, webhook) = started();
    let mut ids = 0..;
    let mut value = || {
        let mut id = || format!("wamid.{}", ids.next().unwrap());
        json!({"messages": [click(&id()), text(&id(), "hello")], "statuses": [status(&id(), "sent"), status(&id(), "read")]})
    };
    let entries: Vec<Value> = (0..3).map(|_| entry(&[change(&value()), change(&value())])).collect();
    platform::deliver(&webhook, &json!({"object": "whatsapp_business_account", "entry": entries}));
    place.until(COUNT, 24);
    assert_eq!(
        place.value::<i64>("SELECT COUNT(DISTINCT event_data ->> 'messageId') FROM webhook_events"),
        24
    );
    assert_eq!(
        place.value::<i64>("SELECT COUNT(*) FROM webhook_events WHERE event_type = 'message_status'"),
        12
    );
}

/// §2.3: other `field`s: 200, counted, not logged
#[test]
fn other_fields_are_counted_and_not_written() {
    let (place, webhook) = started();
    let other = |field: &str| json!({"field": field, "value": {"messages": [click(field)]}});
    let changes = [other("account_update"), other("message_template_status_update")];
    platform::deliver(&webhook, &json!({"object": "whatsapp_business_account", "entry": [entry(&changes)]}));
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(COUNT, 1);
    assert_eq!(counter(&webhook, "ignored"), 2);
}

/// §2.3: any field may be missing, null or of another type; one broken element must not lose its neighbours
#[test]
fn one_broken_element_does_not_lose_its_neighbours() {
    let broken = [
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!({"id": 5, "from": [], "type": {}}),
        json!({"type": "text"}),
        json!({"type": "text", "text": null}),
        json!({"type": "text", "text": {"body": 5}}),
        json!({"type": "button", "button": "x"}),
        json!({"type": "interactive", "interactive": {"type": "button_reply"}}),
        json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": []}}),
        json!({"id": null, "from": null, "type": null, "timestamp": null}),
        json!({"type": "reaction", "reaction": null}),
        json!({"errors": [{"code": 131_051}], "type": "unsupported"}),
    ];
    let place = Place::bare();
    let webhook = place.webhook().start();
    for (number, broken) in broken.iter().enumerate() {
        let (before, after) = (format!("wamid.a{number}"), format!("wamid.b{number}"));
        platform::deliver(
            &webhook,
            &envelope(&json!({"messages": [click(&before), broken, click(&after)],
            "statuses": [broken, status(&before, "sent")]})),
        );
        let written = format!(
            "SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%{before}\"%' OR event_data LIKE '%{after}\"%'"
        );
        eventually(&format!("the neighbours of {broken} are written"), || {
            place.try_count(&written) == Some(3)
        });
    }
}

/// §2.3: value-level errors[]: log line + counter
#[test]
fn errors_of_the_platform_are_logged_and_counted() {
    let (_place, webhook) = started();
    let before = webhook.get("/health").json()["messages"].clone();
    platform::deliver(
        &webhook,
        &envelope(&json!({"errors": [{"code": 130_429, "title": "Rate limit hit", "message": "m"}]})),
    );
    eventually("the code is logged", || webhook.output().contains("130429"));
    assert_ne!(webhook.get("/health").json()["messages"], before);
}

/// §2.4: a text containing, in any letter case, content, retrieve or unlock is a trigger; it is logged for everybody
#[test]
fn texts_with_a_keyword_are_triggers() {
    let (place, webhook) = started();
    let texts = [
        ("content", true),
        ("CONTENT", true),
        ("retrieve", true),
        ("Unlock", true),
        ("myCoNtEnTs", true),
        ("please unlock", true),
        ("hello", false),
        ("conten t", false),
        ("un lock", false),
        ("", false),
    ];
    let messages: Vec<Value> =
        texts.iter().enumerate().map(|(number, (body, _))| text(&format!("wamid.{number}"), body)).collect();
    platform::post(&webhook, &messages);
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_type = 'text_message'", 10);
    for (number, (body, trigger)) in texts.iter().enumerate() {
        let query = format!(
            "SELECT COUNT(*) FROM webhook_events WHERE button_id = 'text_trigger' AND event_data ->> 'messageId' = 'wamid.{number}'"
        );
        assert_eq!(place.value::<i64>(&query), i64::from(*trigger), "{body}");
    }
}

/// §2.5: 25 simultaneous copies: one row
/// §8: no dedupe
#[test]
fn of_25_simultaneous_copies_one_is_written() {
    let (place, webhook) = started();
    let together = Barrier::new(25);
    std::thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| {
                together.wait();
                platform::post(&webhook, &[click("wamid.1")]);
            });
        }
    });
    platform::post(&webhook, &[click("wamid.2")]);
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.2%'", 1);
    assert_eq!(place.value::<i64>(COUNT), 2);
    assert_eq!(counter(&webhook, "duplicates"), 24);
    assert_eq!(place.value::<i64>("SELECT button_clicks FROM webhook_metrics"), 2);
}

/// §2.5: the same id twice in one batch: one; statuses are known by `id:status`
#[test]
fn an_id_twice_in_one_batch_counts_once_and_each_status_once() {
    let (place, webhook) = started();
    let words = ["sent", "delivered", "sent", "read", "delivered"];
    let statuses: Vec<Value> = words.iter().map(|word| status("wamid.1", word)).collect();
    let messages = [click("wamid.1"), click("wamid.1"), text("wamid.1", "other kind, same id")];
    platform::deliver(&webhook, &envelope(&json!({"messages": messages, "statuses": statuses})));
    platform::post(&webhook, &[click("wamid.2")]);
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.2%'", 1);
    let kinds: String = place.value("SELECT group_concat(message_type, ' ') FROM (SELECT message_type FROM webhook_events ORDER BY message_type)");
    assert_eq!(kinds, "delivered interactive interactive read sent");
}

/// §2.5: repeats after a restart and after kill -9 (> 1 s): nothing; the keys are loaded before listening
#[test]
fn repeats_after_a_restart_or_a_crash_are_known() {
    let (place, webhook) = started();
    platform::post(&webhook, &[click("wamid.1")]);
    platform::deliver(&webhook, &envelope(&json!({"statuses": [status("wamid.1", "read")]})));
    webhook.end();
    let webhook = place.webhook().start();
    let repeat = |webhook: &Service, id: &str| {
        platform::post(webhook, &[click(id)]);
        platform::deliver(webhook, &envelope(&json!({"statuses": [status("wamid.1", "read")]})));
    };
    repeat(&webhook, "wamid.1");
    assert_eq!(counter(&webhook, "duplicates"), 2);
    platform::post(&webhook, &[click("wamid.2")]);
    pass(Duration::from_secs(1));
    webhook.kill();
    let webhook = place.webhook().start();
    repeat(&webhook, "wamid.2");
    assert_eq!(counter(&webhook, "duplicates"), 2);
    platform::post(&webhook, &[click("wamid.3")]);
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.3%'", 1);
    assert_eq!(place.value::<i64>(COUNT), 4);
}

/// §2.5: the gate works with the database down
#[test]
fn duplicates_are_known_without_a_database() {
    let place = Place::bare();
    let webhook = place.webhook().env("EVENTS_DB", "content.json/no.db").start();
    for _ in 0..3 {
        platform::post(&webhook, &[click("wamid.1")]);
    }
    assert_eq!(counter(&webhook, "duplicates"), 2);
    webhook.end();
    let webhook = place.webhook().start();
    platform::post(&webhook, &[click("wamid.1"), click("wamid.2")]);
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.2%'", 1);
    assert_eq!(place.value::<i64>(COUNT), 2);
}

/// §2.7: phoneNumberId is masked to its last 4 characters (NEW)
#[test]
fn health_shows_the_end_of_the_number_only() {
    let (_place, webhook) = started();
    let health = webhook.get("/health").json();
    let shown = health["config"]["phoneNumberId"].as_str().unwrap();
    assert!(shown.ends_with("1234") && shown.chars().filter(char::is_ascii_digit).count() == 4, "{shown}");
}

/// §2.7: messages: received, duplicates, rejected_signature, ignored
#[test]
fn messages_are_counted() {
    let (_place, webhook) = started();
    platform::post(&webhook, &[click("wamid.1"), text("wamid.2", "hello"), click("wamid.1")]);
    assert!(counter(&webhook, "received") >= 2);
    assert_eq!(counter(&webhook, "duplicates"), 1);
    assert_eq!(counter(&webhook, "rejected_signature"), 0);
}

/// §2.7: 503 only while shutting down
#[test]
fn health_is_503_only_while_shutting_down() {
    let (_place, mut webhook) = started();
    let mut open = webhook.connect();
    let ask = |stream: &mut TcpStream| {
        let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut first = [0; 12];
        asked
            .and_then(|()| stream.read_exact(&mut first))
            .map(|()| String::from_utf8_lossy(&first).into_owned())
    };
    assert_eq!(ask(&mut open).unwrap(), "HTTP/1.1 200");
    // A request that is not complete yet keeps the service from ending at once.
    let mut busy = webhook.connect();
    busy.write_all(
        b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    let mut go_on = [0; 12];
    busy.read_exact(&mut go_on).unwrap();
    let mut fresh = webhook.connect();
    fresh.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    webhook.signal(Signal::SIGTERM);
    eventually("it does not listen any more", || TcpStream::connect(webhook.address()).is_err());
    let mut answer = Vec::new();
    let _ = fresh.write_all(b"Host: localhost\r\n\r\n");
    let _ = fresh.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    busy.write_all(b"0123456789").unwrap();
    assert!(webhook.wait().success());
}

/// §2.8: verify token and app secret are required, each secret also as `…_FILE`; never in an error
/// §8: credentials, numbers and tunnel URL in source
#[test]
fn required_variables_are_named_when_missing_and_secrets_may_be_in_files() {
    let place = Place::bare();
    for name in
        ["WHATSAPP_VERIFY_TOKEN", "WHATSAPP_APP_SECRET", "WHATSAPP_ACCESS_TOKEN", "WHATSAPP_PHONE_NUMBER_ID"]
    {
        let said = place.webhook().without(name).refused();
        assert!(said.contains(name), "{name}: {said}");
        for secret in [platform::SECRET, VERIFY_TOKEN, platform::ACCESS_TOKEN] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    let mut start = place.webhook();
    for (name, secret) in [
        ("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN),
        ("WHATSAPP_APP_SECRET", platform::SECRET),
        ("WHATSAPP_ACCESS_TOKEN", platform::ACCESS_TOKEN),
    ] {
        std::fs::write(place.path(name), format!("{secret}\n")).unwrap();
        start = start.without(name).env(&format!("{name}_FILE"), name);
    }
    let webhook = start.start();
    platform::post(&webhook, &[click("wamid.1")]);
    let answer =
        verify(&webhook, &format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"));
    assert_eq!(answer.text(), "1");
}

/// §2.8: mistakes in variables are refused at start, without their values
#[test]
fn mistakes_in_variables_are_refused_at_start() {
    let place = Place::empty();
    let cases = [
        (place.webhook(), "WEBHOOK_BIND", "nowhere at all"),
        (place.webhook(), "EVENTS_STORE_TEXT", "some"),
        (place.api(), "CACHE_TTL_MS", "soon"),
        (place.api(), "API_BIND", "nowhere at all"),
        (place.websocket(), "WS_MAX_CLIENTS", "many"),
        (place.websocket(), "HEARTBEAT_MS", "-1"),
        (place.websocket(), "WS_BIND", "nowhere at all"),
    ];
    for (start, name, value) in cases {
        assert!(start.env(name, value).refused().contains(name), "{name}={value}");
    }
}

/// §2.3: statuses are not ordered, conversation and pricing may be missing
#[test]
fn statuses_come_in_any_order_and_with_any_part_missing() {
    let (place, webhook) = started();
    let bare = json!({"id": "wamid.1", "status": "read"});
    let statuses = [
        bare,
        status("wamid.1", "sent"),
        with(status("wamid.1", "delivered"), &json!({"conversation": null, "pricing": 1})),
    ];
    platform::deliver(&webhook, &envelope(&json!({"statuses": statuses})));
    place.until(COUNT, 3);
}
