//! §2.4, 2.6: what a trigger starts, seen by the platform that takes it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use conformance::graph::{Graph, Reply, Request};
use conformance::platform::{
    self, ACCESS_TOKEN, NUMBER_ID, SENDER, choice, click, quick_reply, status, text, with,
};
use conformance::{Place, Service, Start, eventually, recorded};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const DELIVERIES: &str = "SELECT COUNT(*) FROM webhook_events WHERE event_type = 'content_delivery'";
const NOT_JSON: &str = "<html>";

/// A webhook that delivers to this platform, quickly, for the usual sender.
fn delivering(place: &Place, graph: &Graph) -> Start {
    place
        .webhook()
        .env("GRAPH_API_BASE", &graph.base())
        .env("WHATSAPP_RECIPIENTS", SENDER)
        .env("DELIVERY_RETRY_DELAY_MS", "20")
        .env("DELIVERY_ITEM_DELAY_MS", "20")
        .env("DELIVERY_TIMEOUT_MS", "2000")
}

/// The content file: texts with these ids.
fn content(place: &Place, ids: &[&str]) {
    let items: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "type": "text", "content": format!("text of {id}")})).collect();
    fs::write(place.path("content.json"), Value::from(items).to_string()).unwrap();
}

/// event_data of the deliveries, in the order of their rows.
fn deliveries(place: &Place) -> Vec<Value> {
    let sql = place.sql();
    let query = "SELECT event_data FROM webhook_events WHERE event_type = 'content_delivery' ORDER BY id";
    let mut statement = sql.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect()
}

fn bodies(seen: &[Request]) -> Vec<&str> {
    seen.iter().map(|request| request.body["text"]["body"].as_str().unwrap_or("image")).collect()
}

fn stats(webhook: &Service) -> Value {
    webhook.get("/health").json()["stats"].clone()
}

/// §2.6: each item is one POST to {base}/{version}/{number}/messages with the token; in the order of the file
/// §2.6: the bodies are those of the old service
#[test]
fn every_item_is_posted_in_order_as_the_old_service_did() {
    let (place, graph) = (Place::bare(), Graph::accepting());
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    let seen = graph.until(2);
    place.until(DELIVERIES, 2);
    assert_eq!(graph.seen().len(), 2);
    for (request, shape) in seen.iter().zip(["graph-text", "graph-image"]) {
        assert_eq!(request.line, format!("POST /v17.0/{NUMBER_ID}/messages HTTP/1.1"));
        assert_eq!(request.header("authorization"), Some(format!("Bearer {ACCESS_TOKEN}").as_str()));
        assert!(request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
        recorded::load(shape).check(&request.body);
        assert_eq!(request.body["to"], SENDER);
    }
    assert_eq!(seen[0].body["text"]["body"], "A neutral text.");
    assert_eq!(
        seen[1].body["image"],
        json!({"link": "https://example.invalid/overview.png", "caption": "A neutral caption."})
    );
    let other = delivering(&place, &graph).env("GRAPH_API_VERSION", "v99.0").start();
    platform::post(&other, &[click("wamid.2")]);
    assert!(graph.until(4)[2].line.starts_with(&format!("POST /v99.0/{NUMBER_ID}/messages ")));
}

/// §1.4: each delivered item: content_delivery with these keys, an outgoing row, metrics; ai_response_time on the first
/// §1.1: response_time_avg is the running mean of the day's delivery times, in seconds (NEW)
#[test]
fn a_delivered_item_writes_its_event_its_conversation_and_its_numbers() {
    let (place, graph) = (Place::bare(), Graph::accepting());
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(DELIVERIES, 2);
    for (data, id) in deliveries(&place).iter().zip(["market_analysis", "market_overview"]) {
        let keys: BTreeSet<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = ["attempts", "contentId", "deliveryTime", "messageId", "responseTime", "success"];
        assert_eq!(keys, BTreeSet::from(expected), "{data}");
        assert_eq!(
            (&data["contentId"], &data["success"], &data["attempts"]),
            (&json!(id), &json!(true), &json!(1))
        );
        assert_eq!(data["messageId"], "wamid.accepted");
        assert!(
            data["responseTime"].is_number() && data["deliveryTime"].as_str().unwrap().ends_with('Z'),
            "{data}"
        );
    }
    let row = "SELECT event_type || ' ' || message_type || ' ' || (button_id IS NULL) || ' ' || advisor_phone FROM webhook_events ORDER BY id DESC";
    assert_eq!(place.value::<String>(row), format!("content_delivery content 1 {SENDER}"));
    let talk = "SELECT group_concat(message_type || ' ' || content || ' ' || direction || ' ' || (ai_response_time IS NULL)) FROM (SELECT * FROM conversations ORDER BY id)";
    assert_eq!(
        place.value::<String>(talk),
        "text market_analysis outgoing 0,image market_overview outgoing 1"
    );
    let ai: f64 = place.value("SELECT ai_response_time FROM conversations ORDER BY id");
    assert!((0.0..10.0).contains(&ai), "seconds: {ai}");
    let numbers = "SELECT content_deliveries || ' ' || successful_deliveries || ' ' || failed_deliveries FROM webhook_metrics";
    assert_eq!(place.value::<String>(numbers), "2 2 0");
    let mean =
        deliveries(&place).iter().map(|data| data["responseTime"].as_f64().unwrap()).sum::<f64>() / 2000.0;
    let stored: f64 = place.value("SELECT response_time_avg FROM webhook_metrics");
    assert!((stored - mean).abs() < 0.002, "{stored} is not {mean}");
}

/// §1.4: a failed item: `success:false` and `error`, no conversation, failed_deliveries+1
/// §2.6: an item that fails does not stop the sequence
#[test]
fn a_failed_item_is_written_and_does_not_stop_the_sequence() {
    let place = Place::bare();
    content(&place, &["a", "b", "c"]);
    let graph = Graph::start(|request, _| match request.body["text"]["body"].as_str() {
        Some("text of b") => Reply::Answer(400, "", json!({"error": {"message": "no"}}).to_string()),
        _ => Reply::Accept("wamid.accepted"),
    });
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(DELIVERIES, 3);
    let found = deliveries(&place);
    let successes: Vec<&Value> = found.iter().map(|data| &data["success"]).collect();
    assert_eq!(successes, [&json!(true), &json!(false), &json!(true)]);
    assert!(found[1]["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", found[1]);
    assert!(found[0].get("error").is_none());
    assert_eq!(place.value::<String>("SELECT group_concat(content) FROM conversations"), "a,c");
    let numbers = "SELECT content_deliveries || ' ' || successful_deliveries || ' ' || failed_deliveries FROM webhook_metrics";
    assert_eq!(place.value::<String>(numbers), "3 2 1");
    assert_eq!(stats(&webhook), json!({"attempted": 3, "successful": 2, "failed": 1, "retries": 0}));
}

/// §2.6: retry only network errors, timeouts, 408, 429 and 5xx; other 3xx/4xx are final; 3 attempts in all
/// §2.6: stats: attempted (every HTTP try), successful, failed (items given up), retries
#[test]
fn only_what_may_pass_is_tried_again() {
    type Make = fn() -> Reply;
    let cases: [(&str, usize, Make); 15] = [
        ("500", 3, || Reply::Answer(500, "", String::new())),
        ("502", 3, || Reply::Answer(502, "", String::new())),
        ("503", 3, || Reply::Answer(503, "", String::new())),
        ("504", 3, || Reply::Answer(504, "", String::new())),
        ("408", 3, || Reply::Answer(408, "", String::new())),
        ("429", 3, || Reply::Answer(429, "", String::new())),
        ("no answer", 3, || Reply::Drop),
        ("timeout", 3, || Reply::Hang),
        ("400", 1, || Reply::Answer(400, "", String::new())),
        ("401", 1, || Reply::Answer(401, "", String::new())),
        ("403", 1, || Reply::Answer(403, "", String::new())),
        ("404", 1, || Reply::Answer(404, "", String::new())),
        ("422", 1, || Reply::Answer(422, "", String::new())),
        ("301", 1, || Reply::Answer(301, "Location: /elsewhere\r\n", String::new())),
        ("307", 1, || Reply::Answer(307, "Location: /elsewhere\r\n", String::new())),
    ];
    for (what, attempts, make) in cases {
        let place = Place::bare();
        content(&place, &["a"]);
        let graph = Graph::start(move |_, _| make());
        let webhook = delivering(&place, &graph).env("DELIVERY_TIMEOUT_MS", "200").start();
        platform::post(&webhook, &[click("wamid.1")]);
        place.until(DELIVERIES, 1);
        assert_eq!(graph.seen().len(), attempts, "{what}");
        let data = &deliveries(&place)[0];
        assert_eq!((&data["success"], &data["attempts"]), (&json!(false), &json!(attempts)), "{what}");
        let expected = json!({"attempted": attempts, "successful": 0, "failed": 1, "retries": attempts - 1});
        assert_eq!(stats(&webhook), expected, "{what}");
    }
}

/// §2.6: what was tried again may succeed
#[test]
fn a_retry_that_succeeds_is_a_success() {
    let place = Place::bare();
    content(&place, &["a"]);
    let graph = Graph::start(|_, before| match before {
        0 => Reply::Drop,
        1 => Reply::Answer(503, "", String::new()),
        _ => Reply::Accept("wamid.accepted"),
    });
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(DELIVERIES, 1);
    let data = &deliveries(&place)[0];
    assert_eq!((&data["success"], &data["attempts"]), (&json!(true), &json!(3)));
    assert_eq!(stats(&webhook), json!({"attempted": 3, "successful": 1, "failed": 0, "retries": 2}));
}

/// §2.6: never follow redirects (the token would leak)
#[test]
fn redirects_are_not_followed() {
    let place = Place::bare();
    content(&place, &["a"]);
    let elsewhere = Graph::accepting();
    let location: &'static str = format!("Location: {}/v17.0/x/messages\r\n", elsewhere.base()).leak();
    let graph = Graph::start(move |_, _| Reply::Answer(302, location, String::new()));
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(DELIVERIES, 1);
    assert_eq!((graph.seen().len(), elsewhere.seen().len()), (1, 0));
}

/// §2.6: success = HTTP 200: messages[0].id may be absent (null); a 200 body that is not JSON counts as an error
#[test]
fn success_is_a_200_with_json() {
    let cases = [
        (json!({"messages": [{"id": "wamid.x"}]}).to_string(), true, json!("wamid.x")),
        ("{}".to_owned(), true, Value::Null),
        (json!({"messages": []}).to_string(), true, Value::Null),
        (NOT_JSON.to_owned(), false, Value::Null),
    ];
    for (body, success, id) in cases {
        let place = Place::bare();
        content(&place, &["a"]);
        let reply = body.clone();
        let graph = Graph::start(move |_, _| Reply::Answer(200, "", reply.clone()));
        let webhook = delivering(&place, &graph).start();
        platform::post(&webhook, &[click("wamid.1")]);
        place.until(DELIVERIES, 1);
        let data = &deliveries(&place)[0];
        assert_eq!((&data["success"], &data["messageId"]), (&json!(success), &id), "{body}: {data}");
    }
}

/// §2.6: 429 waits at least `Retry-After`
#[test]
fn a_rate_limit_waits_as_long_as_the_platform_says() {
    let place = Place::bare();
    content(&place, &["a"]);
    let graph = Graph::start(|_, before| match before {
        0 => Reply::Answer(429, "Retry-After: 1\r\n", String::new()),
        _ => Reply::Accept("wamid.accepted"),
    });
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    let seen = graph.until(2);
    let gap = seen[1].at - seen[0].at;
    assert!(gap >= Duration::from_secs(1), "{gap:?}");
}

/// §2.6: pauses: between attempts, and between items after a success only
#[test]
fn the_pauses_are_those_that_are_configured() {
    let place = Place::bare();
    content(&place, &["a", "b", "c"]);
    let graph = Graph::start(|request, before| match (request.body["text"]["body"].as_str(), before) {
        (_, 0) => Reply::Answer(500, "", String::new()),
        (Some("text of b"), _) => Reply::Answer(400, "", String::new()),
        _ => Reply::Accept("wamid.accepted"),
    });
    let webhook = delivering(&place, &graph)
        .env("DELIVERY_RETRY_DELAY_MS", "300")
        .env("DELIVERY_ITEM_DELAY_MS", "900")
        .start();
    platform::post(&webhook, &[click("wamid.1")]);
    let seen = graph.until(4);
    assert_eq!(bodies(&seen), ["text of a", "text of a", "text of b", "text of c"]);
    let gaps: Vec<u128> = seen.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
    assert!(gaps[0] >= 300, "before the next attempt: {gaps:?}");
    assert!(gaps[1] >= 900, "after a success: {gaps:?}");
    assert!(gaps[2] < 900, "after a failure: {gaps:?}");
}

/// §2.4: only senders in WHATSAPP_RECIPIENTS (exact match after dropping `+`, spaces, `-`) start a delivery
#[test]
fn only_listed_recipients_get_something() {
    let list = "+1 555-010-0001 , 15550100002";
    let senders = [
        (list, "15550100001", true),
        (list, "+15550100002", true),
        (list, "15550100003", false),
        (list, "5550100001", false),
        (list, "155501000012", false),
        ("", "15550100001", false),
    ];
    for (recipients, sender, allowed) in senders {
        let place = Place::bare();
        content(&place, &["a"]);
        let graph = Graph::accepting();
        let webhook = delivering(&place, &graph)
            .env("WHATSAPP_RECIPIENTS", &format!("{recipients}{}", if allowed { "" } else { ",15550100099" }))
            .start();
        platform::post(&webhook, &[with(click("wamid.1"), &json!({"from": sender}))]);
        // Somebody who is on the list shows when the first would have been served.
        let expected = if allowed { sender.trim_start_matches('+') } else { "15550100099" };
        if !allowed {
            place.until("SELECT COUNT(*) FROM webhook_events WHERE event_type = 'button_click'", 1);
            platform::post(&webhook, &[with(click("wamid.2"), &json!({"from": "15550100099"}))]);
        }
        place.until(DELIVERIES, 1);
        let seen = graph.seen();
        assert_eq!(seen.len(), 1, "{recipients:?}, {sender}");
        assert_eq!(seen[0].body["to"], expected, "{recipients:?}, {sender}");
    }
}

/// §2.4: an empty list means nobody; others get one log line with the last 4 digits
#[test]
fn who_is_not_listed_is_logged_with_the_last_4_digits() {
    let (place, graph) = (Place::bare(), Graph::accepting());
    let webhook = delivering(&place, &graph).without("WHATSAPP_RECIPIENTS").start();
    platform::post(&webhook, &[with(click("wamid.1"), &json!({"from": "15550100077"}))]);
    place.until("SELECT COUNT(*) FROM webhook_events", 1);
    eventually("it is logged", || webhook.output().contains("0077"));
    let said = webhook.end();
    assert!(!said.contains("15550100077"), "{said}");
    assert!(graph.seen().is_empty());
}

/// §2.4: a click of any of the three kinds, any id, or a text with a keyword is a trigger; nothing else is
#[test]
fn clicks_and_keywords_start_a_delivery_and_nothing_else_does() {
    let cases = [
        (click("wamid.1"), true),
        (choice("wamid.1"), true),
        (quick_reply("wamid.1"), true),
        (text("wamid.1", "Unlock, please"), true),
        (text("wamid.1", "hello"), false),
        (platform::message("wamid.1", "image", &json!({"id": "5", "caption": "unlock"})), false),
    ];
    for (message, starts) in cases {
        let place = Place::bare();
        content(&place, &["a"]);
        let graph = Graph::accepting();
        let webhook = delivering(&place, &graph).start();
        let value = json!({"messages": [message], "statuses": [status("wamid.0", "read")]});
        platform::deliver(&webhook, &platform::envelope(&value));
        if !starts {
            place.until("SELECT COUNT(*) FROM webhook_events", 2);
            platform::post(&webhook, &[click("wamid.2")]);
        }
        place.until(DELIVERIES, 1);
        webhook.end();
        assert_eq!(graph.seen().len(), 1, "{message}");
    }
}

/// §2.6: one sequence per recipient at a time: a trigger during a running one is logged but starts none (NEW)
/// §8: any number of parallel sequences per person
#[test]
fn a_trigger_during_a_sequence_is_logged_and_starts_none() {
    let place = Place::bare();
    content(&place, &["a", "b"]);
    let (ready, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (at_ready, at_go) = (Arc::clone(&ready), Arc::clone(&go));
    let graph = Graph::start(move |_, before| {
        if before == 0 {
            at_ready.wait();
            at_go.wait();
        }
        Reply::Accept("wamid.accepted")
    });
    let webhook = delivering(&place, &graph).env("DELIVERY_TIMEOUT_MS", "20000").start();
    platform::post(&webhook, &[click("wamid.1")]);
    ready.wait();
    for number in 2..7 {
        platform::post(&webhook, &[click(&format!("wamid.{number}"))]);
    }
    place.until("SELECT COUNT(*) FROM webhook_events WHERE event_type = 'button_click'", 6);
    go.wait();
    place.until(DELIVERIES, 2);
    // The next trigger starts the next sequence.
    eventually("the next trigger starts the next", || {
        platform::post(&webhook, &[click(&format!("wamid.{}", conformance_id()))]);
        graph.seen().len() > 2
    });
    assert_eq!(bodies(&graph.until(4))[..4], ["text of a", "text of b", "text of a", "text of b"]);
}

fn conformance_id() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// §2.6: different recipients run side by side (max 16)
#[test]
fn sixteen_recipients_are_served_side_by_side() {
    let place = Place::bare();
    content(&place, &["a"]);
    let together = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let all = Arc::new(Barrier::new(16));
    let (counted, meet) = (Arc::clone(&together), Arc::clone(&all));
    let graph = Graph::start(move |_, before| {
        let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
        counted.1.fetch_max(now, Ordering::SeqCst);
        if before < 16 {
            // Nobody is answered before 16 are here.
            meet.wait();
        }
        counted.0.fetch_sub(1, Ordering::SeqCst);
        Reply::Accept("wamid.accepted")
    });
    let people: Vec<String> = (0..24).map(|number| format!("155501001{number:02}")).collect();
    let webhook = delivering(&place, &graph)
        .env("WHATSAPP_RECIPIENTS", &people.join(","))
        .env("DELIVERY_TIMEOUT_MS", "20000")
        .start();
    for person in &people {
        platform::post(&webhook, &[with(click(&format!("wamid.{person}")), &json!({"from": person}))]);
    }
    place.until("SELECT COUNT(*) >= 16 FROM webhook_events WHERE event_type = 'content_delivery'", 1);
    assert_eq!(together.1.load(Ordering::SeqCst), 16);
    // Whether those beyond 16 wait or are left out, the contract does not say; nobody is served twice.
    let served: Vec<Value> = graph.seen().into_iter().map(|request| request.body["to"].clone()).collect();
    let once: BTreeSet<String> = served.iter().map(Value::to_string).collect();
    assert_eq!(once.len(), served.len());
}

/// §2.6: each item is logged when it ends (the original logged after the whole sequence)
/// §2.6: sequences run apart from HTTP handling
#[test]
fn an_item_is_written_while_the_next_one_still_runs() {
    let place = Place::bare();
    content(&place, &["a", "b"]);
    let graph =
        Graph::start(|_, before| if before == 0 { Reply::Accept("wamid.accepted") } else { Reply::Hang });
    let webhook = delivering(&place, &graph).env("DELIVERY_TIMEOUT_MS", "30000").start();
    platform::post(&webhook, &[click("wamid.1")]);
    graph.until(2);
    place.until(DELIVERIES, 1);
    let begin = Instant::now();
    platform::post(&webhook, &[text("wamid.2", "hello")]);
    assert_eq!(webhook.get("/health").status, 200);
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
}

/// §2.6: SIGTERM lets the current request finish (≤ 5 s), then records the rest as not sent in the log
#[test]
fn sigterm_finishes_the_current_request_and_logs_the_rest() {
    let place = Place::bare();
    content(&place, &["first", "second", "third"]);
    let (ready, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (at_ready, at_go) = (Arc::clone(&ready), Arc::clone(&go));
    let graph = Graph::start(move |_, _| {
        at_ready.wait();
        at_go.wait();
        Reply::Accept("wamid.accepted")
    });
    let mut webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    ready.wait();
    webhook.signal(Signal::SIGTERM);
    eventually("it does not listen any more", || std::net::TcpStream::connect(webhook.address()).is_err());
    go.wait();
    let asked = Instant::now();
    assert!(webhook.wait().success(), "{}", webhook.output());
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(graph.seen().len(), 1);
    assert_eq!(deliveries(&place).iter().filter(|data| data["success"] == true).count(), 1);
    let said = webhook.output().to_lowercase();
    assert!(said.contains("not sent"), "{said}");
}

/// §2.6: SIGTERM waits ≤ 5 s for the current request
#[test]
fn sigterm_does_not_wait_for_ever_for_a_request() {
    let place = Place::bare();
    let graph = Graph::start(|_, _| Reply::Hang);
    let mut webhook = delivering(&place, &graph).env("DELIVERY_TIMEOUT_MS", "60000").start();
    platform::post(&webhook, &[click("wamid.1")]);
    graph.until(1);
    let asked = Instant::now();
    webhook.signal(Signal::SIGTERM);
    assert!(webhook.wait().success(), "{}", webhook.output());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

/// §2.5: 25 simultaneous copies: one delivery; repeats after a restart: none
#[test]
fn copies_of_a_trigger_deliver_once() {
    let place = Place::bare();
    content(&place, &["a"]);
    let graph = Graph::accepting();
    let webhook = delivering(&place, &graph).start();
    std::thread::scope(|scope| {
        for _ in 0..25 {
            scope.spawn(|| platform::post(&webhook, &[click("wamid.1"), click("wamid.1")]));
        }
    });
    place.until(DELIVERIES, 1);
    webhook.end();
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    platform::post(&webhook, &[click("wamid.2")]);
    place.until(DELIVERIES, 2);
    webhook.end();
    assert_eq!(graph.seen().len(), 2);
}

/// §2.6: the content file is validated at start (text ≤ 4096, caption ≤ 1024)
#[test]
fn a_wrong_content_file_is_refused_at_start() {
    let long = |length: usize| "\u{e4}".repeat(length);
    let wrong = [
        "not JSON".to_owned(),
        json!({"id": "a"}).to_string(),
        json!([{"type": "text", "content": "x"}]).to_string(),
        json!([{"id": "a", "type": "text"}]).to_string(),
        json!([{"id": "a", "type": "image", "caption": "x"}]).to_string(),
        json!([{"id": "a", "type": "video", "url": "https://example.invalid/x"}]).to_string(),
        json!([{"id": "a", "type": "text", "content": long(4097)}]).to_string(),
        json!([{"id": "a", "type": "image", "url": "https://example.invalid/x", "caption": long(1025)}])
            .to_string(),
    ];
    let place = Place::bare();
    for file in wrong {
        fs::write(place.path("items.json"), &file).unwrap();
        let said = place.webhook().env("CONTENT_FILE", "items.json").refused();
        assert!(said.contains("items.json") || said.contains("CONTENT_FILE"), "{said}");
    }
    let right = json!([{"id": "a", "type": "text", "content": long(4096)},
        {"id": "b", "type": "image", "url": "https://example.invalid/x", "caption": long(1024)}]);
    fs::write(place.path("items.json"), right.to_string()).unwrap();
    let webhook = place.webhook().env("CONTENT_FILE", "items.json").start();
    assert_eq!(webhook.get("/health").json()["config"]["contentLibrary"], 2);
}

/// §2.7: maxRetries, messageDelay and contentLibrary are those that are configured
#[test]
fn health_shows_what_is_configured() {
    let place = Place::bare();
    let config = |start: Start| {
        let config = start.start().get("/health").json()["config"].clone();
        [&config["maxRetries"], &config["messageDelay"], &config["contentLibrary"]].map(Clone::clone)
    };
    assert_eq!(config(place.webhook()), [json!(3), json!(2000), json!(2)]);
    let own = place.webhook().env("DELIVERY_MAX_ATTEMPTS", "5").env("DELIVERY_ITEM_DELAY_MS", "1234");
    assert_eq!(config(own), [json!(5), json!(1234), json!(2)]);
}

/// §2.8: WHATSAPP_ACCESS_TOKEN and WHATSAPP_PHONE_NUMBER_ID are required
#[test]
fn it_does_not_start_without_what_deliveries_need() {
    let place = Place::bare();
    for name in ["WHATSAPP_ACCESS_TOKEN", "WHATSAPP_PHONE_NUMBER_ID"] {
        let said = place.webhook().without(name).refused();
        assert!(said.contains(name) && !said.contains(ACCESS_TOKEN), "{name}: {said}");
    }
}

/// §2.8: GRAPH_API_BASE: http:// allowed only for loopback
#[test]
fn the_token_goes_unencrypted_to_loopback_only() {
    let place = Place::bare();
    for base in [
        "http://graph.example.invalid",
        "http://192.0.2.1:80",
        "http://127.0.0.1.example.invalid",
        "ftp://127.0.0.1",
    ] {
        assert!(place.webhook().env("GRAPH_API_BASE", base).refused().contains("GRAPH_API_BASE"), "{base}");
    }
    for base in ["https://graph.example.invalid", "http://127.0.0.1:1"] {
        assert_eq!(place.webhook().env("GRAPH_API_BASE", base).start().get("/health").status, 200, "{base}");
    }
}

/// §1: the webhook works with every other service, and the database, down: deliveries too
#[test]
fn deliveries_need_no_database() {
    let (place, graph) = (Place::bare(), Graph::accepting());
    let webhook = delivering(&place, &graph).env("EVENTS_DB", "content.json/no.db").start();
    platform::post(&webhook, &[click("wamid.1")]);
    graph.until(2);
    eventually("both are accepted", || stats(&webhook)["successful"] == 2);
    webhook.end();
    // And when the database is back, they are in it.
    let _webhook = delivering(&place, &graph).start();
    place.until(DELIVERIES, 2);
}

/// §2.9: neither the access token nor the texts of deliveries are in the log
#[test]
fn deliveries_are_logged_without_token_number_and_text() {
    let place = Place::bare();
    let graph = Graph::start(|_, before| match before {
        0 => Reply::Answer(
            401,
            "",
            json!({"error": {"message": format!("bad token {ACCESS_TOKEN}")}}).to_string(),
        ),
        _ => Reply::Accept("wamid.accepted"),
    });
    let webhook = delivering(&place, &graph).start();
    platform::post(&webhook, &[click("wamid.1")]);
    place.until(DELIVERIES, 2);
    let said = webhook.end();
    for secret in [ACCESS_TOKEN, SENDER, "A neutral text", "A neutral caption"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    assert!(!Value::from(deliveries(&place)).to_string().contains(ACCESS_TOKEN));
}
