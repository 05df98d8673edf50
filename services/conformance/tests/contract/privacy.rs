//! §2.9: what the logs of the three services do not tell.

use conformance::platform::{
    self, ACCESS_TOKEN, SECRET, SENDER, VERIFY_TOKEN, click, envelope, status, text, with,
};
use conformance::{Client, Place, eventually};
use serde_json::json;

const TOKEN: &str = "example-api-token";
const WORDS: &str = "very private words";

/// §2.9: no tokens, secrets, message texts or full phone numbers in any log
/// §4: the token never appears in answers or logs
/// §8: payloads and token in logs
#[test]
fn logs_hold_no_tokens_texts_or_numbers() {
    let place = Place::lived_in();
    let webhook = place.webhook().start();
    let api = place.api().env("API_TOKEN", TOKEN).start();
    let websocket = place.websocket().env("WS_TOKEN", TOKEN).start();
    let plus = format!("+{SENDER}");
    platform::post(&webhook, &[click("wamid.1"), with(text("wamid.2", WORDS), &json!({"from": plus}))]);
    platform::post(&webhook, &[text("wamid.3", &format!("unlock {WORDS}")), click("wamid.1")]);
    platform::deliver(
        &webhook,
        &envelope(&json!({"statuses": [status("wamid.4", "failed")],
        "errors": [{"code": 1, "title": WORDS, "message": WORDS}]})),
    );
    let _ = platform::post_bytes(&webhook, format!("{{\"from\": \"{SENDER}\", \"broken {WORDS}").as_bytes());
    let _ =
        webhook.get(&format!("/webhook?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1"));
    let _ = webhook.get(&format!("/other?token={VERIFY_TOKEN}"));
    for target in
        [format!("/api/webhook/metrics?token={TOKEN}"), format!("/{SENDER}"), format!("/x?phone={SENDER}")]
    {
        let _ = api.ask("GET", &target, &[("Authorization", "Bearer example-api-token")]);
        let _ = api.get(&target);
    }
    let headers = [("Sec-WebSocket-Protocol", "dogwatch, bearer.example-api-token")];
    let (mut client, upgrade) = Client::handshake(&websocket, &format!("/ws?token={TOKEN}"), &headers);
    assert!(!format!("{upgrade:?}").contains(TOKEN));
    client.of("connection_established");
    client.say(&json!({"type": "subscribe", "channels": [WORDS, SENDER]}));
    client.say(&json!({"type": SENDER}));
    client.send(conformance::socket::first::TEXT, WORDS.as_bytes());
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_data LIKE '%wamid.%'", 5);
    for service in [webhook, api, websocket] {
        let said = service.end();
        for secret in [VERIFY_TOKEN, SECRET, ACCESS_TOKEN, TOKEN, WORDS, SENDER] {
            assert!(!said.contains(secret), "{secret:?} in {said}");
        }
    }
}

/// §2.9: one line per request: kind, masked sender, id suffix, duration; numbers as `…1234`
#[test]
fn a_request_is_one_line_with_the_masked_sender() {
    let place = Place::bare();
    let webhook = place.webhook().start();
    platform::post(&webhook, &[with(text("wamid.ABCDEFGHIJ", "hello"), &json!({"from": "15550106789"}))]);
    let line = || webhook.output().lines().find(|line| line.contains("6789")).map(str::to_owned);
    eventually("the request is logged", || line().is_some());
    let line = line().unwrap();
    assert!(line.contains("\u{2026}6789"), "{line}");
    assert!(line.contains("HIJ") && !line.contains("wamid.ABCDEFGHIJ"), "the end of the id: {line}");
    assert!(line.contains("text"), "the kind: {line}");
    assert!(line.contains("ms") || line.contains("\u{b5}s"), "the duration: {line}");
}
