//! Content on its way, from the real program to a Graph API that behaves as the test says.

mod fake_graph;
mod support;

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use fake_graph::{FakeGraph, Reply, Seen};
use serde_json::{Value, json};
use service_testing::{Program, Running, eventually};
use support::{ACCESS_TOKEN, Place, SECRET, TOKEN, click, payload, post, text};

/// The person who clicks in [`click`].
const PHONE: &str = "15550100001";

/// Two items; one of a kind.
fn two_items() -> Value {
    json!([
        {"id": "overview", "type": "image", "url": "https://example.invalid/a.png", "caption": "Grüße"},
        {"id": "analysis", "type": "text", "content": "What it means"},
    ])
}

fn texts(count: usize) -> Value {
    (1..=count)
        .map(|n| json!({"id": format!("item-{n}"), "type": "text", "content": format!("text {n}")}))
        .collect()
}

/// The service of this place: sends `content` to `graph`, with pauses too short to notice.
fn program(place: &Place, graph: &str, content: &Value) -> Program {
    fs::write(place.path().join("content.json"), content.to_string()).expect("a content file");
    place
        .program()
        .env("GRAPH_API_BASE", graph)
        .env("WHATSAPP_RECIPIENTS", PHONE)
        .env("DELIVERY_RETRY_DELAY_MS", "1")
        .env("DELIVERY_ITEM_DELAY_MS", "1")
}

fn trigger(webhook: &Running, id: &str) {
    assert_eq!(post(webhook, &payload(&[click(id)])).status, 200);
}

fn stats(webhook: &Running) -> Value {
    webhook.get("/health").json()["stats"].clone()
}

#[track_caller]
fn until_ended(webhook: &Running, successful: i64, failed: i64) {
    eventually("the items have ended", || {
        let stats = stats(webhook);
        stats["successful"] == successful && stats["failed"] == failed
    });
    eventually("they are written", || {
        let health = webhook.get("/health").json();
        health["events"]["queued"] == 0 && health["deliveries"]["running"] == 0
    });
}

/// `event_data` of the deliveries, in their order.
fn deliveries(place: &Place) -> Vec<Value> {
    let sql = place.sql();
    let mut rows = sql
        .prepare(
            "SELECT event_data FROM webhook_events WHERE event_type = 'content_delivery' AND message_type = 'content'
             AND button_id IS NULL AND processed = 0 AND typeof(event_data) = 'text' ORDER BY id",
        )
        .expect("a query");
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| serde_json::from_str(&row.expect("a row")).expect("JSON")).collect()
}

/// An answer, for how long it is waited for in milliseconds, and what the error says.
type Case = (fn() -> Reply, u32, &'static str);

/// Longer than any answer takes.
const PATIENT: u32 = 60_000;

/// Delivers one text to a platform that answers so to every attempt; the event that this makes, and
/// how often it was asked.
#[track_caller]
fn deliver_one(reply: impl Fn() -> Reply + Send + Sync + 'static, timeout: u32) -> (Value, usize) {
    let graph = FakeGraph::start(move |_, _| reply());
    let place = Place::new();
    let timeout = timeout.to_string();
    let webhook = program(&place, &graph.base(), &texts(1)).env("DELIVERY_TIMEOUT_MS", &timeout).start();
    trigger(&webhook, "wamid.1");
    eventually("the item has ended", || {
        let stats = stats(&webhook);
        stats["successful"] == 1 || stats["failed"] == 1
    });
    let (_, output) = webhook.end();
    assert!(!output.contains(ACCESS_TOKEN) && !output.contains(PHONE), "{output}");
    let event = deliveries(&place).remove(0);
    assert!(!event.to_string().contains(ACCESS_TOKEN) && !event.to_string().contains(PHONE), "{event}");
    (event, graph.seen().len())
}

/// Every case fails, after so many attempts.
#[track_caller]
fn all_fail(cases: &[Case], attempts: usize) {
    std::thread::scope(|threads| {
        for (reply, timeout, error) in cases {
            threads.spawn(move || {
                let (event, requests) = deliver_one(*reply, *timeout);
                let found = (&event["success"], &event["attempts"], requests);
                assert_eq!(found, (&json!(false), &json!(attempts), attempts), "{event}");
                assert!(event["error"].as_str().is_some_and(|told| told.contains(error)), "{event}");
            });
        }
    });
}

#[test]
fn a_trigger_brings_the_content_in_its_order() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &two_items()).env("DELIVERY_ITEM_DELAY_MS", "200").start();
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 2, 0);
    let seen = graph.seen();
    let [image, text] = &seen[..] else { panic!("{seen:?}") };
    for request in [image, text] {
        assert_eq!(request.line, "POST /v17.0/100000000001234/messages HTTP/1.1");
        assert_eq!(request.header("authorization"), Some("Bearer example-access-token"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(
            request.header("host").map(str::to_owned),
            graph.base().strip_prefix("http://").map(str::to_owned)
        );
    }
    let expected = json!({"messaging_product": "whatsapp", "to": PHONE, "type": "image",
        "image": {"link": "https://example.invalid/a.png", "caption": "Grüße"}});
    assert_eq!(image.body, expected);
    let expected = json!({"messaging_product": "whatsapp", "to": PHONE, "type": "text",
        "text": {"body": "What it means"}});
    assert_eq!(text.body, expected);
    assert!(text.at - image.at >= Duration::from_millis(200));

    let health = webhook.get("/health").json();
    assert_eq!(health["stats"], json!({"attempted": 2, "successful": 2, "failed": 0, "retries": 0}));
    assert_eq!(health["deliveries"], json!({"running": 0, "waiting": 0, "skipped": 0}));
    let config = json!({"phoneNumberId": "…1234", "contentLibrary": 2, "maxRetries": 3, "messageDelay": 200});
    assert_eq!(health["config"], config);
}

#[test]
fn every_item_is_written_as_the_contract_says() {
    let graph = FakeGraph::start(|number, _| match number {
        1 => Reply::body(400, r#"{"error": {"code": 131030, "message": "no"}}"#),
        3 => Reply::status(500),
        _ => Reply::Accept,
    });
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(3)).start();
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 2, 1);
    let keys = |event: &Value| {
        let mut keys: Vec<String> = event.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    let events = deliveries(&place);
    let [failed, first, second] = &events[..] else { panic!("{events:?}") };
    let common = "attempts contentId deliveryTime messageId responseTime success";
    assert_eq!(keys(failed), "attempts contentId deliveryTime error messageId responseTime success");
    assert_eq!((keys(first).as_str(), keys(second).as_str()), (common, common));
    assert_eq!(
        (
            &failed["contentId"],
            &failed["success"],
            &failed["messageId"],
            &failed["attempts"],
            &failed["error"]
        ),
        (&json!("item-1"), &json!(false), &Value::Null, &json!(1), &json!("HTTP 400, error 131030: no"))
    );
    assert_eq!((&first["messageId"], &first["attempts"]), (&json!("wamid.out-2"), &json!(1)));
    assert_eq!((&second["messageId"], &second["attempts"]), (&json!("wamid.out-4"), &json!(2)));
    for event in &events {
        assert!(event["responseTime"].is_u64(), "{event}");
        let time = event["deliveryTime"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z') && time.contains('T'), "{time}");
    }

    assert_eq!(
        place.count(&format!(
            "webhook_events WHERE event_type = 'content_delivery' AND advisor_phone = '{PHONE}'"
        )),
        3
    );
    let sent = format!("advisor_phone = '{PHONE}' AND message_type = 'text' AND direction = 'outgoing'");
    let answered = "typeof(ai_response_time) = 'real' AND ai_response_time > 0 AND ai_response_time < 60";
    assert_eq!(place.count(&format!("conversations WHERE {sent} AND content = 'item-2' AND {answered}")), 1);
    assert_eq!(
        place.count(&format!(
            "conversations WHERE {sent} AND content = 'item-3' AND ai_response_time IS NULL"
        )),
        1
    );
    assert_eq!(place.count("conversations"), 2);
    let numbers = "content_deliveries = 3 AND successful_deliveries = 2 AND failed_deliveries = 1 AND button_clicks = 1";
    assert_eq!(place.count(&format!("webhook_metrics WHERE {numbers} AND text_messages = 0")), 1);
    let mean = "SELECT avg(json_extract(event_data, '$.responseTime')) / 1000 FROM webhook_events
         WHERE event_type = 'content_delivery'";
    assert_eq!(place.count(&format!("webhook_metrics WHERE abs(response_time_avg - ({mean})) < 1e-9")), 1);
    assert_eq!(stats(&webhook), json!({"attempted": 4, "successful": 2, "failed": 1, "retries": 1}));
}

#[test]
fn what_may_pass_is_tried_again() {
    let cases: [Case; 7] = [
        (|| Reply::status(408), PATIENT, "HTTP 408"),
        (|| Reply::status(429), PATIENT, "HTTP 429"),
        (|| Reply::status(500), PATIENT, "HTTP 500"),
        (|| Reply::status(503), PATIENT, "HTTP 503"),
        (|| Reply::Close, PATIENT, "broke"),
        (|| Reply::Stall(""), 200, "within 200ms"),
        (|| Reply::Stall("HTTP/1.1 200 OK\r\nContent-Le"), 200, "within 200ms"),
    ];
    all_fail(&cases, 3);
}

#[test]
fn what_will_not_pass_is_final() {
    let cases: [Case; 9] = [
        (|| Reply::status(201), PATIENT, "HTTP 201"),
        (|| Reply::status(302), PATIENT, "HTTP 302"),
        (|| Reply::status(400), PATIENT, "HTTP 400"),
        (|| Reply::status(401), PATIENT, "HTTP 401"),
        (|| Reply::status(404), PATIENT, "HTTP 404"),
        (|| Reply::body(200, "<html>"), PATIENT, "HTTP 200, but the answer is not JSON"),
        (|| Reply::body(200, ""), PATIENT, "HTTP 200, but the answer is not JSON"),
        (
            || Reply::body(200, &format!("\"{}\"", "x".repeat(70_000))),
            PATIENT,
            "HTTP 200, but the answer is longer than 64 KiB",
        ),
        (
            // Long enough for the head to arrive on the busiest machine.
            || Reply::Stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
            2000,
            "HTTP 200, but the rest of the answer did not come in time",
        ),
    ];
    all_fail(&cases, 1);
}

#[test]
fn nobody_there_is_an_error_with_a_reason() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let place = Place::new();
    let webhook = program(&place, &format!("http://{free}"), &texts(1)).start();
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 0, 1);
    let event = deliveries(&place).remove(0);
    assert_eq!(event["attempts"], 3);
    let error = event["error"].as_str().expect("a reason");
    assert!(error.contains("cannot connect to 127.0.0.1:") && error.contains("refused"), "{error}");
}

#[test]
fn success_without_an_id_is_a_success() {
    let (event, requests) = deliver_one(|| Reply::body(200, "{}"), PATIENT);
    assert_eq!((&event["success"], &event["messageId"], requests), (&json!(true), &Value::Null, 1));
}

#[test]
fn the_platform_may_ask_for_time() {
    let graph = FakeGraph::start(|number, _| match number {
        1 => Reply::header(429, "Retry-After: 1"),
        _ => Reply::Accept,
    });
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(1)).start();
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 1, 0);
    let seen = graph.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1));
    assert_eq!(stats(&webhook)["retries"], 1);
}

#[test]
fn the_pause_between_attempts_is_kept_and_a_failure_has_none_after_it() {
    let graph = FakeGraph::start(|number, _| if number <= 2 { Reply::status(500) } else { Reply::Accept });
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(2))
        .env("DELIVERY_MAX_ATTEMPTS", "2")
        .env("DELIVERY_RETRY_DELAY_MS", "300")
        .env("DELIVERY_ITEM_DELAY_MS", "600000")
        .start();
    trigger(&webhook, "wamid.1");
    // With a pause after the failed item the second one would come ten minutes later.
    until_ended(&webhook, 1, 1);
    let seen = graph.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(300));
}

#[test]
fn a_redirect_is_not_followed() {
    let other = FakeGraph::start(|_, _| Reply::Accept);
    let location = format!("Location: {}/v17.0/1/messages", other.base());
    for status in [301, 307, 308] {
        let header = location.clone();
        let (event, requests) = deliver_one(move || Reply::header(status, &header), PATIENT);
        assert_eq!((&event["success"], requests), (&json!(false), 1));
        assert_eq!(event["error"], format!("HTTP {status}"));
    }
    assert!(other.seen().is_empty());
}

#[test]
fn only_recipients_are_served_however_their_number_is_written() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    let list = "+1 555 010-0001, 1-555-0100003";
    let webhook = program(&place, &graph.base(), &texts(1)).env("WHATSAPP_RECIPIENTS", list).start();
    let from = |number: &str, id: &str| {
        let mut click = click(id);
        click["from"] = number.into();
        click
    };
    let stranger = text("wamid.1", "please UNLOCK it");
    let all = payload(&[stranger, from("+15550100001", "wamid.2"), from("15550100003", "wamid.3")]);
    assert_eq!(post(&webhook, &all).status, 200);
    until_ended(&webhook, 2, 0);
    let mut served: Vec<_> = graph.seen().iter().map(|seen| seen.to().to_owned()).collect();
    served.sort();
    assert_eq!(served, ["15550100001", "15550100003"]);
    // The stranger's wish is written all the same.
    assert_eq!(
        place.count("webhook_events WHERE button_id = 'text_trigger' AND advisor_phone = '15550100002'"),
        1
    );
    let output = webhook.output();
    assert!(output.contains("text of …0002") && output.contains("no delivery: not a recipient"), "{output}");
    assert!(!output.contains("0100002") && !output.contains("UNLOCK"), "{output}");
}

#[test]
fn an_empty_list_is_nobody() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(1)).env("WHATSAPP_RECIPIENTS", "").start();
    trigger(&webhook, "wamid.1");
    eventually("it is written", || webhook.get("/health").json()["events"]["written"] == 1);
    assert!(webhook.end().1.contains("not a recipient"));
    assert!(graph.seen().is_empty());
}

#[test]
fn keywords_can_be_chosen() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(1))
        .env("WHATSAPP_RECIPIENTS", "15550100002")
        .env("CONTENT_KEYWORDS", "Überblick, more")
        .start();
    // In the order of sending; the last one shows that those before it started nothing.
    for (id, words) in
        [("wamid.1", "content"), ("wamid.2", "good morning"), ("wamid.3", "den ÜBERBLICK bitte")]
    {
        assert_eq!(post(&webhook, &payload(&[text(id, words)])).status, 200);
    }
    until_ended(&webhook, 1, 0);
    assert_eq!(stats(&webhook)["attempted"], 1);
    assert_eq!(place.count("webhook_events WHERE button_id = 'text_trigger'"), 1);
}

#[test]
fn one_sequence_a_recipient_at_a_time() {
    let graph = FakeGraph::start(|_, _| Reply::AtTheGate);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(2)).start();
    // 25 copies of one trigger, all at the same time …
    std::thread::scope(|threads| {
        for _ in 0..25 {
            threads.spawn(|| trigger(&webhook, "wamid.1"));
        }
    });
    graph.wait_for(1);
    // … and five others while the sequence runs.
    for number in 2..=6 {
        trigger(&webhook, &format!("wamid.{number}"));
    }
    let health = webhook.get("/health").json();
    assert_eq!(health["deliveries"], json!({"running": 1, "waiting": 0, "skipped": 5}));
    assert_eq!(health["messages"]["duplicates"], 24);
    graph.open_gate();
    until_ended(&webhook, 2, 0);
    assert_eq!(place.count("webhook_events WHERE event_type = 'button_click'"), 6);
    // When it is over, the next one may start.
    trigger(&webhook, "wamid.7");
    until_ended(&webhook, 4, 0);
    assert_eq!(graph.seen().len(), 4);
}

#[test]
fn sixteen_run_side_by_side_and_the_others_wait() {
    let graph = FakeGraph::start(|_, _| Reply::AtTheGate);
    let place = Place::new();
    let people: Vec<_> = (1..=20).map(|number| format!("155501000{number:02}")).collect();
    let webhook =
        program(&place, &graph.base(), &texts(1)).env("WHATSAPP_RECIPIENTS", &people.join(",")).start();
    let clicks: Vec<_> = people
        .iter()
        .map(|person| {
            let mut click = click(&format!("wamid.{person}"));
            click["from"] = person.as_str().into();
            click
        })
        .collect();
    assert_eq!(post(&webhook, &payload(&clicks)).status, 200);
    graph.wait_for(16);
    eventually("four wait", || {
        webhook.get("/health").json()["deliveries"] == json!({"running": 16, "waiting": 4, "skipped": 0})
    });
    assert_eq!(graph.seen().len(), 16);
    eventually("the log says so", || webhook.output().matches("delivery waits for its turn").count() == 4);
    // Whoever waits has a place, too: asking again changes nothing.
    let again: Vec<_> = clicks
        .iter()
        .map(|click| {
            let mut click = click.clone();
            click["id"] = format!("{}-again", click["id"].as_str().expect("an id")).into();
            click
        })
        .collect();
    assert_eq!(post(&webhook, &payload(&again)).status, 200);
    assert_eq!(webhook.get("/health").json()["deliveries"]["skipped"], 20);
    graph.open_gate();
    until_ended(&webhook, 20, 0);
    assert_eq!(graph.seen().len(), 20);
}

#[test]
fn the_end_lets_a_request_finish_and_tells_what_was_not_sent() {
    let graph = FakeGraph::start(|_, _| Reply::AtTheGate);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(6)).start();
    trigger(&webhook, "wamid.1");
    graph.wait_for(1);
    webhook.ask_to_end();
    eventually("nobody new is taken", || TcpStream::connect(webhook.address()).is_err());
    graph.open_gate();
    let (status, output) = webhook.end();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("delivery to …0001: item-1 (1 of 6) accepted"), "{output}");
    let left = "delivery to …0001: 5 items not sent, because the service ends: item-2, item-3, item-4, item-5, item-6";
    assert!(output.contains(left), "{output}");
    assert_eq!(graph.seen().len(), 1);
    let events = deliveries(&place);
    assert_eq!((events.len(), &events[0]["success"]), (1, &json!(true)));
}

#[test]
fn the_end_waits_five_seconds_for_a_request_and_not_for_a_pause() {
    let graph = FakeGraph::start(|_, seen| match seen.to() {
        PHONE => Reply::Stall(""),
        _ => Reply::status(500),
    });
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(2))
        .env("WHATSAPP_RECIPIENTS", "15550100001,15550100002")
        .env("DELIVERY_RETRY_DELAY_MS", "600000")
        .start();
    let both = payload(&[click("wamid.1"), text("wamid.2", "content")]);
    assert_eq!(post(&webhook, &both).status, 200);
    graph.wait_for(2);
    let begin = Instant::now();
    let (status, output) = webhook.end();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(begin.elapsed() >= Duration::from_secs(5) && begin.elapsed() < Duration::from_secs(20));
    let mut errors: Vec<_> = deliveries(&place)
        .iter()
        .map(|event| event["error"].as_str().expect("an error").to_owned())
        .collect();
    errors.sort();
    assert_eq!(errors, ["HTTP 500", "the service ended before there was an answer"]);
    for who in ["…0001", "…0002"] {
        assert!(output.contains(&format!("delivery to {who}: 1 items not sent")), "{output}");
    }
}

#[test]
fn a_killed_delivery_is_not_repeated() {
    let graph = FakeGraph::start(|_, _| Reply::AtTheGate);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(2)).start();
    trigger(&webhook, "wamid.1");
    graph.wait_for(1);
    eventually("the trigger is written", || webhook.get("/health").json()["events"]["written"] == 1);
    webhook.kill();
    let webhook = program(&place, &graph.base(), &texts(2)).start();
    trigger(&webhook, "wamid.1");
    let health = webhook.get("/health").json();
    assert_eq!((&health["messages"]["duplicates"], &health["stats"]["attempted"]), (&json!(1), &json!(0)));
    assert_eq!(graph.seen().len(), 1);
}

#[test]
fn content_comes_also_while_the_database_is_away() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    fs::write(place.path().join("data"), "in the way").expect("a file in the way");
    let webhook = program(&place, &graph.base(), &two_items()).env("EVENTS_SPOOL", "events.spool").start();
    trigger(&webhook, "wamid.1");
    eventually("both are accepted", || stats(&webhook)["successful"] == 2);
    fs::remove_file(place.path().join("data")).expect("out of the way");
    until_ended(&webhook, 2, 0);
    eventually("all is written", || webhook.get("/health").json()["events"]["written"] == 3);
    assert_eq!(deliveries(&place).len(), 2);
    assert_eq!(place.count("conversations WHERE direction = 'outgoing'"), 2);
}

#[test]
fn a_slow_platform_delays_no_answer() {
    let graph = FakeGraph::start(|_, _| Reply::Stall(""));
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &texts(1)).env("DELIVERY_TIMEOUT_MS", "60000").start();
    trigger(&webhook, "wamid.0");
    graph.wait_for(1);
    let begin = Instant::now();
    for number in 1..=100 {
        trigger(&webhook, &format!("wamid.{number}"));
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    webhook.kill();
}

#[test]
fn no_secret_and_no_number_is_seen_anywhere() {
    let echo = |_: usize, seen: &Seen| {
        let token = seen.header("authorization").unwrap_or_default();
        let error = json!({"error": {"code": 190, "message": format!("bad {token} for +1 555 010 0001: {}", seen.body)}});
        Reply::body(401, &error.to_string())
    };
    let graph = FakeGraph::start(echo);
    let place = Place::new();
    let webhook = program(&place, &graph.base(), &two_items()).start();
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 0, 2);
    let health = webhook.get("/health").text();
    let events = format!("{:?}", deliveries(&place));
    assert!(events.contains("bad Bearer (hidden) for +…0001"), "{events}");
    let (_, output) = webhook.end();
    assert!(output.contains("HTTP 401, error 190") && !output.contains("bad Bearer"), "{output}");
    for text in [&health, &events, &output] {
        for secret in [ACCESS_TOKEN, SECRET, TOKEN, PHONE, "555 010 0001", "100000000001234"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn secrets_can_come_from_files() {
    let graph = FakeGraph::start(|_, _| Reply::Accept);
    let place = Place::new();
    let mut program = program(&place, &graph.base(), &texts(1));
    for (name, secret, mode) in [
        ("WHATSAPP_VERIFY_TOKEN", "file-verify-token\n", 0o600),
        ("WHATSAPP_APP_SECRET", "example-app-secret\r\n", 0o640),
        ("WHATSAPP_ACCESS_TOKEN", "file-access-token", 0o644),
    ] {
        let path = place.path().join(name);
        fs::write(&path, secret).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        program = program.env(name, "").env(&format!("{name}_FILE"), path.to_str().expect("a path in UTF-8"));
    }
    let webhook = program.start();
    let verified =
        webhook.get("/webhook?hub.mode=subscribe&hub.verify_token=file-verify-token&hub.challenge=1");
    assert_eq!(verified.text(), "1");
    trigger(&webhook, "wamid.1");
    until_ended(&webhook, 1, 0);
    assert_eq!(graph.seen()[0].header("authorization"), Some("Bearer file-access-token"));
    let (_, output) = webhook.end();
    assert!(output.contains("WHATSAPP_ACCESS_TOKEN_FILE") && output.contains("chmod o-r"), "{output}");
    assert!(!output.contains("VERIFY_TOKEN_FILE") && !output.contains("APP_SECRET_FILE"), "{output}");
    assert!(!output.contains("file-access-token"), "{output}");
}

#[test]
fn a_bad_content_file_refuses_the_start() {
    let place = Place::new();
    let content = json!([{"id": "a", "type": "text", "content": "x"}, {"id": "b", "type": "text", "content": "x".repeat(5000)}]);
    let (code, said) = program(&place, "http://127.0.0.1:9", &content).fail();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("CONTENT_FILE: content.json: item 2: `content` has 5000 characters; the limit is 4096"),
        "{said}"
    );
    let (code, said) =
        program(&place, "http://127.0.0.1:9", &content).env("CONTENT_FILE", "missing.json").fail();
    assert_eq!(code, Some(1));
    assert!(said.contains("CONTENT_FILE: cannot read missing.json"), "{said}");
    let (code, said) = program(&place, "http://graph.example.invalid", &texts(1)).fail();
    assert_eq!((code, said.contains("GRAPH_API_BASE must begin with https://")), (Some(1), true), "{said}");
}
