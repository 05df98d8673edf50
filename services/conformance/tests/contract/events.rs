//! §1.4: what each kind of event writes.

use conformance::platform::{choice, click, envelope, message, quick_reply, status, text, with};
use conformance::{Place, platform};
use serde_json::{Map, Value, json};

/// The rows of webhook_events, each as an object; event_data parsed.
fn events(place: &Place) -> Vec<Value> {
    rows(
        place,
        "SELECT json_object('event_type', event_type, 'phone', advisor_phone, 'button', button_id,
        'message_type', message_type, 'data', json(event_data), 'timestamp', timestamp, 'created_at', created_at,
        'processed', processed, 'kind', typeof(processed)) FROM webhook_events ORDER BY id",
    )
}

fn conversations(place: &Place) -> Vec<Value> {
    rows(
        place,
        "SELECT json_object('phone', advisor_phone, 'type', message_type, 'content', content,
        'direction', direction, 'ai', ai_response_time, 'score', satisfaction_score) FROM conversations ORDER BY id",
    )
}

/// The five counters of today.
fn metrics(place: &Place) -> Vec<i64> {
    let found = rows(
        place,
        "SELECT json_array(button_clicks, text_messages, content_deliveries, successful_deliveries,
        failed_deliveries) FROM webhook_metrics WHERE date = date('now')",
    );
    let today = found.first().cloned().unwrap_or_else(|| json!([0, 0, 0, 0, 0]));
    today.as_array().unwrap().iter().map(|count| count.as_i64().unwrap()).collect()
}

fn rows(place: &Place, query: &str) -> Vec<Value> {
    let sql = place.sql();
    let mut statement = sql.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect()
}

/// One kind of event and what it writes.
struct Kind {
    value: Value,
    /// event_type, message_type, button_id, event_data; for each row.
    rows: Vec<(&'static str, &'static str, Option<&'static str>, Value)>,
    /// Texts that come in.
    conversation: Option<&'static str>,
    metrics: [i64; 5],
}

fn kinds() -> Vec<Kind> {
    let one = |message: Value| json!({"messages": [message]});
    let mut kinds = vec![
        Kind {
            value: one(click("wamid.1")),
            rows: vec![(
                "button_click",
                "interactive",
                Some("market"),
                json!({"id": "market", "title": "Market", "format": "interactive_button", "messageId": "wamid.1"}),
            )],
            conversation: None,
            metrics: [1, 0, 0, 0, 0],
        },
        Kind {
            value: one(choice("wamid.1")),
            rows: vec![(
                "button_click",
                "interactive",
                Some("sectors"),
                json!({"id": "sectors", "title": "Sectors", "format": "interactive_list", "messageId": "wamid.1"}),
            )],
            conversation: None,
            metrics: [1, 0, 0, 0, 0],
        },
        Kind {
            value: one(quick_reply("wamid.1")),
            rows: vec![(
                "button_click",
                "interactive",
                Some("more"),
                json!({"text": "Tell me more", "payload": "more", "format": "legacy_button", "messageId": "wamid.1"}),
            )],
            conversation: None,
            metrics: [1, 0, 0, 0, 0],
        },
        Kind {
            value: one(text("wamid.1", "Hello YOU, \u{e4}\u{1f600} ")),
            rows: vec![(
                "text_message",
                "text",
                None,
                json!({"text": "Hello YOU, \u{e4}\u{1f600} ", "direction": "incoming", "messageId": "wamid.1"}),
            )],
            conversation: Some("Hello YOU, \u{e4}\u{1f600} "),
            metrics: [0, 1, 0, 0, 0],
        },
        Kind {
            value: one(text("wamid.1", "Please UnLock it")),
            rows: vec![
                (
                    "text_message",
                    "text",
                    None,
                    json!({"text": "Please UnLock it", "direction": "incoming", "messageId": "wamid.1"}),
                ),
                (
                    "button_click",
                    "interactive",
                    Some("text_trigger"),
                    json!({"text": "Please UnLock it", "format": "text_trigger", "messageId": "wamid.1"}),
                ),
            ],
            conversation: Some("Please UnLock it"),
            metrics: [1, 1, 0, 0, 0],
        },
    ];
    for word in ["sent", "delivered", "read", "failed", "played", "deleted"] {
        let errors = json!([{"code": 131_026, "title": "Undeliverable", "message": "m", "error_data": {"details": "why"}, "href": "https://example.invalid"}]);
        kinds.push(Kind {
            value: json!({"statuses": [with(status("wamid.1", word), &json!({"errors": errors}))]}),
            rows: vec![(
                "message_status",
                word,
                None,
                json!({"messageId": "wamid.1", "status": word, "waTimestamp": Value::Null,
                    "errors": [{"code": 131_026, "title": "Undeliverable", "details": "why"}]}),
            )],
            conversation: None,
            metrics: [0; 5],
        });
    }
    kinds
}

/// §1.4: every kind of event writes the rows of the table: click, list reply, quick reply, text, keyword, status
/// §1.4: text unchanged; list replies; `text_trigger`; message_status (NEW)
/// §8: text lower-cased; list replies ignored
#[test]
fn every_kind_of_event_writes_the_rows_of_the_table() {
    for Kind { value, rows, conversation, metrics: counted } in kinds() {
        let place = Place::empty();
        let webhook = place.webhook().start();
        platform::deliver(&webhook, &envelope(&value));
        place.until("SELECT COUNT(*) FROM webhook_events", i64::try_from(rows.len()).unwrap());
        for (row, (kind, message_type, button, mut data)) in events(&place).into_iter().zip(rows) {
            assert_eq!(row["event_type"], kind, "{value}");
            assert_eq!(row["message_type"], message_type, "{value}");
            assert_eq!(row["button"], json!(button), "{value}");
            assert_eq!(row["phone"], platform::SENDER, "{value}");
            assert_eq!((&row["processed"], &row["kind"]), (&json!(0), &json!("integer")), "{value}");
            let mut found = row["data"].clone();
            if let Some(time) = data.get_mut("waTimestamp") {
                // Text or number, as Meta sends it.
                assert!(found["waTimestamp"].to_string().contains("1767323046"), "{found}");
                *time = Value::Null;
                found["waTimestamp"] = Value::Null;
            }
            assert_eq!(found, data, "{value}");
        }
        let expected: Vec<Value> = conversation
            .iter()
            .map(|text| json!({"phone": platform::SENDER, "type": "text", "content": text, "direction": "incoming", "ai": null, "score": null}))
            .collect();
        assert_eq!(conversations(&place), expected, "{value}");
        assert_eq!(metrics(&place), counted, "{value}");
    }
}

/// §1.4: any other message type is other_message with Meta's `type`, `{messageId,type}` and small metadata
#[test]
fn any_other_type_is_written_with_its_name_and_never_with_its_bytes() {
    let media = "QUJD".repeat(50_000);
    let types = [
        ("image", json!({"id": "5", "mime_type": "image/png", "sha256": "x", "caption": "c", "data": media})),
        ("audio", json!({"id": "5", "voice": true, "data": media})),
        ("video", json!({"id": "5", "data": media})),
        ("document", json!({"id": "5", "filename": "a.pdf", "data": media})),
        ("sticker", json!({"id": "5", "data": media})),
        ("location", json!({"latitude": 1.5, "longitude": 2.5, "name": "here"})),
        ("contacts", json!([{"name": {"formatted_name": "A"}, "phones": []}])),
        ("reaction", json!({"message_id": "wamid.0", "emoji": "\u{1f44d}"})),
        ("reaction", json!({"message_id": "wamid.0"})),
        ("order", json!({"catalog_id": "1", "product_items": []})),
        ("system", json!({"body": "changed", "type": "user_changed_number"})),
        ("unsupported", json!(null)),
        ("unknown", json!(null)),
        ("invented_in_2030", json!({"a": 1})),
        ("interactive", json!({"type": "nfm_reply", "nfm_reply": {"response_json": "{}", "name": "flow"}})),
    ];
    let place = Place::empty();
    let webhook = place.webhook().start();
    let messages: Vec<Value> = types
        .iter()
        .enumerate()
        .map(|(number, (kind, content))| message(&format!("wamid.{number}"), kind, content))
        .collect();
    platform::post(&webhook, &messages);
    place.until("SELECT COUNT(*) FROM webhook_events", i64::try_from(types.len()).unwrap());
    for (number, (row, (kind, _))) in events(&place).iter().zip(&types).enumerate() {
        assert_eq!((&row["event_type"], &row["button"]), (&json!("other_message"), &Value::Null), "{row}");
        // Meta's `type` of a flow's answer is `interactive`; its own name says more.
        let named = [*kind, if *kind == "interactive" { "nfm_reply" } else { kind }];
        assert!(named.contains(&row["message_type"].as_str().unwrap()), "{row}");
        assert_eq!(row["data"]["messageId"], format!("wamid.{number}"), "{row}");
        assert!(named.contains(&row["data"]["type"].as_str().unwrap()), "{row}");
        assert!(row["data"].to_string().len() < 2_000, "{kind} is not small");
    }
    assert_eq!((conversations(&place), metrics(&place)), (Vec::new(), vec![0; 5]));
}

/// §1.4: text is cut at 4096 characters (`"truncated":true`)
#[test]
fn long_texts_are_cut_at_4096_characters() {
    for (length, kept, truncated) in
        [(4096, 4096, None), (4097, 4096, Some(true)), (100_000, 4096, Some(true))]
    {
        let place = Place::empty();
        let webhook = place.webhook().start();
        platform::post(&webhook, &[text("wamid.1", &"\u{e4}".repeat(length))]);
        place.until("SELECT COUNT(*) FROM webhook_events", 1);
        let data = events(&place).remove(0)["data"].clone();
        assert_eq!(data["text"].as_str().unwrap().chars().count(), kept, "{length}");
        assert_eq!(data["truncated"], json!(truncated), "{length}");
        let content = conversations(&place).remove(0)["content"].as_str().unwrap().chars().count();
        assert_eq!(content, kept, "{length}");
    }
}

/// §1.4: option `store_text = none`: store only the length
#[test]
fn without_stored_texts_only_the_length_is_kept() {
    let place = Place::empty();
    let webhook = place.webhook().env("EVENTS_STORE_TEXT", "none").start();
    platform::post(&webhook, &[text("wamid.1", "private unlock words")]);
    place.until("SELECT COUNT(*) FROM webhook_events", 2);
    for row in events(&place).iter().chain(&conversations(&place)) {
        assert!(!row.to_string().contains("private"), "{row}");
    }
    let data = events(&place).remove(0)["data"].to_string();
    assert!(data.contains("20") && data.contains("wamid.1"), "the length and the id: {data}");
    assert_eq!(metrics(&place), [1, 1, 0, 0, 0]);
}

/// §1: all times in the database are UTC text `YYYY-MM-DD HH:MM:SS`; `timestamp` is the time of receipt
/// §1.1: processed is always 0
#[test]
fn times_are_utc_text_and_the_time_is_that_of_receipt() {
    let place = Place::empty();
    let webhook = place.webhook().env("TZ", "Asia/Tokyo").start();
    platform::post(&webhook, &[text("wamid.1", "hello")]);
    place.until("SELECT COUNT(*) FROM conversations", 1);
    let fresh = |column: &str, table: &str| {
        let query = format!(
            "SELECT {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
             AND abs(julianday('now') - julianday({column})) * 86400 < 60 FROM {table}"
        );
        assert_eq!(place.value::<i64>(&query), 1, "{table}.{column}");
    };
    fresh("timestamp", "webhook_events");
    fresh("created_at", "webhook_events");
    fresh("timestamp", "conversations");
    fresh("created_at", "webhook_metrics");
}

/// §1.4: an event's rows are always in the same transaction
/// §8: event inserts not in one transaction with their metrics
#[test]
fn nobody_ever_sees_an_event_without_its_other_rows() {
    let place = Place::empty();
    let webhook = place.webhook().start();
    platform::post(&webhook, &[text("wamid.first", "hello")]);
    place.until("SELECT COUNT(*) FROM webhook_events", 1);
    let look = "SELECT (SELECT COUNT(*) FROM webhook_events), (SELECT COUNT(*) FROM conversations),
        (SELECT SUM(text_messages) FROM webhook_metrics), (SELECT COUNT(*) FROM dogwatch_seen)";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100 {
                platform::post(&webhook, &[text(&format!("wamid.{number}"), "hello")]);
            }
        });
        let sql = place.sql();
        let mut look = sql.prepare(look).unwrap();
        conformance::eventually("all are written", || {
            let seen = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
            let counts: [i64; 4] = look.query_row([], seen).unwrap();
            assert_eq!(counts, [counts[0]; 4]);
            counts[0] == 101
        });
    });
}

/// §1.4: messageId appears verbatim in event_data
#[test]
fn message_ids_are_kept_verbatim() {
    let place = Place::empty();
    let webhook = place.webhook().start();
    let id = "wamid.HBgLMTU1NTAxMDAwMDEVAgASGBQzQTA=/+\u{e4}\"\\";
    platform::post(&webhook, &[click(id)]);
    place.until("SELECT COUNT(*) FROM webhook_events", 1);
    let expected: Map<String, Value> = Map::from_iter([("messageId".to_owned(), json!(id))]);
    assert_eq!(events(&place)[0]["data"]["messageId"], expected["messageId"]);
}

/// §2.3: `from` may carry a leading `+`; users without a phone number are known by from_user_id, else
/// contacts[].user_id
#[test]
fn the_sender_is_the_number_without_plus_or_else_the_user_id() {
    let nameless = |fields: Value| {
        let mut message = with(text("wamid.1", "hello"), &fields);
        message.as_object_mut().unwrap().remove("from");
        message
    };
    let cases = [
        (
            json!({"messages": [with(text("wamid.1", "hello"), &json!({"from": "+15550100002"}))]}),
            "15550100002",
        ),
        (json!({"messages": [nameless(json!({"from_user_id": "US.1349"}))]}), "US.1349"),
        (
            json!({"contacts": [{"profile": {"name": "A", "username": "a"}, "user_id": "US.1350"}], "messages": [nameless(json!({}))]}),
            "US.1350",
        ),
    ];
    for (value, sender) in cases {
        let place = Place::empty();
        let webhook = place.webhook().start();
        platform::deliver(&webhook, &envelope(&value));
        place.until("SELECT COUNT(*) FROM webhook_events", 1);
        assert_eq!(events(&place)[0]["phone"], sender, "{value}");
        assert_eq!(conversations(&place)[0]["phone"], sender, "{value}");
    }
}
