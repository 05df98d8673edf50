//! The answers of the replaced system, replayed: ours have the same keys and the same kinds of values.

use conformance::recorded::{self, Recorded};
use conformance::{Client, Place, platform};
use serde_json::{Value, json};

fn of(service: &str) -> Vec<Recorded> {
    recorded::all().into_iter().filter(|recorded| recorded.note("service") == Some(service)).collect()
}

/// §3: everything unmarked must be compatible, so that an existing dashboard keeps working
#[test]
fn the_api_answers_as_the_old_one_did() {
    for place in [Place::empty(), Place::lived_in()] {
        let api = place.api().start();
        for recorded in of("dashboard-api") {
            let target = recorded.note("request").unwrap();
            recorded.check(&api.get(target).json());
        }
    }
}

/// §2.7: `/health` and `/webhook/health` as in the original (the API asked the second path and always got 404)
#[test]
fn the_webhook_says_how_it_is_as_the_old_one_did() {
    let place = Place::lived_in();
    let webhook = place.webhook().start();
    for path in ["/health", "/webhook/health"] {
        let answer = webhook.get(path);
        assert_eq!(answer.status, 200, "{path}");
        recorded::load("webhook-health").check(&answer.json());
    }
}

/// §4.1: frames have the shapes of the table, all are text JSON with `timestamp`
#[test]
fn the_websocket_sends_the_frames_that_the_old_one_sent() {
    let place = Place::lived_in();
    let server = place.websocket().start();
    let (mut client, hello, initial) = Client::join(&server);
    let (_, _, empty) = Client::join(&Place::empty().websocket().start());
    recorded::load("ws-initial_data").check(&empty);
    let (mut watcher, ..) = Client::join(&server);
    let mut seen = vec![hello, initial];
    seen.push(client.ask(&json!({"type": "ping"}), "pong"));
    seen.push(client.ask(&json!({"type": "request_metrics"}), "metrics_update"));
    seen.push(client.ask(&json!({"type": "nonsense"}), "error"));
    seen.push(
        client.ask(&json!({"type": "subscribe", "channels": ["button_clicks"]}), "subscription_confirmed"),
    );
    watcher.ask(&json!({"type": "subscribe", "channels": ["notifications"]}), "subscription_confirmed");
    place.execute(r#"INSERT INTO webhook_events (event_type, advisor_phone, event_data, button_id, message_type) VALUES
        ('button_click', '15550100001', '{"id":"market"}', 'market', 'interactive'),
        ('text_message', '15550100001', '{"text":"hello","direction":"incoming"}', NULL, 'text'),
        ('content_delivery', '15550100001', '{"contentId":"a","success":true,"responseTime":1500}', NULL, 'content')"#);
    seen.push(client.of("new_events"));
    for kind in ["button_click", "text_message", "content_delivery"] {
        seen.push(watcher.of(kind));
    }
    server.signal(nix::sys::signal::Signal::SIGTERM);
    seen.push(client.of("server_shutdown"));
    for recorded in of("websocket") {
        let kind = recorded.note("frame").unwrap();
        let frames: Vec<&Value> = seen.iter().filter(|frame| frame["type"] == kind).collect();
        assert!(!frames.is_empty(), "no frame {kind} came");
        frames.into_iter().for_each(|frame| recorded.check(frame));
    }
}

/// §2.3: duplicates, statuses and all kinds of messages leave the answer the same, `OK`
#[test]
fn the_platform_reads_the_answer_that_it_always_read() {
    let place = Place::empty();
    let webhook = place.webhook().start();
    for message in
        [platform::click("wamid.1"), platform::text("wamid.2", "hello"), platform::click("wamid.1")]
    {
        platform::post(&webhook, &[message]);
    }
    platform::deliver(
        &webhook,
        &platform::envelope(&json!({"statuses": [platform::status("wamid.3", "read")]})),
    );
}

/// §kit: the comparer finds what a change of an answer would break
#[test]
fn the_comparer_sees_missing_keys_added_keys_other_kinds_and_other_times() {
    let recorded = recorded::load("api-realtime");
    let good = json!({"success": true, "timestamp": "2026-01-02T03:04:05.678Z", "data": {"events_last_24h": 1,
        "button_clicks_today": 1, "text_messages_today": 1, "content_deliveries_today": 1,
        "recent_activity": [{"type": "x", "timestamp": "2026-01-02 03:04:05", "advisor": null}]}});
    assert_eq!(recorded.differences(&good), Vec::<String>::new());
    let changes = [
        ("/success", json!("yes")),
        ("/timestamp", json!("2026-01-02T03:04:05Z")),
        ("/data/events_last_24h", Value::Null),
        ("/data/recent_activity", json!({})),
        ("/data/recent_activity/0/timestamp", json!("2026-01-02T03:04:05.678Z")),
        ("/data/recent_activity/0", json!({"type": "x", "timestamp": "2026-01-02 03:04:05"})),
        (
            "/data/recent_activity/0",
            json!({"type": "x", "timestamp": "2026-01-02 03:04:05", "advisor": null, "b": 1}),
        ),
    ];
    for (path, value) in changes {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        assert_eq!(recorded.differences(&changed).len(), 1, "{path}: {changed}");
    }
}
