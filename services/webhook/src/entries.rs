//! From what the platform reports to what is written.

use events::{Entry, NewEvent, StoreText, Trigger};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::payload;

/// How messages are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// A text with one of these, in any letter case, asks for content like a click. Given in lower case.
    pub(crate) keywords: &'a [String],
    pub(crate) store_text: StoreText,
}

/// What a message makes.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) entry: Entry,
    /// Does it ask for content?
    pub(crate) is_trigger: bool,
}

/// What a message from `phone` makes.
pub(crate) fn of_message(message: &Value, phone: Option<&str>, at: Timestamp, reading: Reading<'_>) -> Made {
    let (id, store) = (message["id"].as_str(), reading.store_text);
    let mut is_trigger = true;
    let events = match trigger(message) {
        Some(trigger) => vec![NewEvent::click(at, phone, id, trigger, store)],
        None => match text(message) {
            Some(text) => {
                let mut events = vec![NewEvent::text(at, phone, id, text, store)];
                is_trigger = has_keyword(text, reading.keywords);
                if is_trigger {
                    events.push(NewEvent::click(at, phone, id, Trigger::Text(text), store));
                }
                events
            }
            None => {
                is_trigger = false;
                vec![other(message, phone, id, at)]
            }
        },
    };
    Made { entry: Entry { key: id.map(str::to_owned), events }, is_trigger }
}

/// What the report on a sent message makes.
pub(crate) fn of_status(status: &Value, at: Timestamp) -> Entry {
    let word = status["status"].as_str().unwrap_or("unknown");
    let errors: Vec<Value> =
        status["errors"].as_array().map_or(&[][..], Vec::as_slice).iter().map(error).collect();
    let data = json!({
        "messageId": status["id"].as_str(),
        "status": word,
        "waTimestamp": status["timestamp"],
        "errors": errors,
    });
    let recipient = payload::phone(&status["recipient_id"]);
    Entry {
        key: status["id"].as_str().map(|id| format!("{id}:{word}")),
        events: vec![NewEvent::status(at, recipient.as_deref(), word, &data)],
    }
}

fn trigger(message: &Value) -> Option<Trigger<'_>> {
    match message["type"].as_str()? {
        "interactive" => {
            let interactive = &message["interactive"];
            let kind = interactive["type"].as_str()?;
            let reply = object(&interactive[kind])?;
            let (id, title) = (string(&reply["id"]), string(&reply["title"]));
            match kind {
                "button_reply" => Some(Trigger::Button { id, title }),
                "list_reply" => Some(Trigger::List { id, title }),
                _ => None,
            }
        }
        "button" => {
            let button = object(&message["button"])?;
            Some(Trigger::Template { text: string(&button["text"]), payload: string(&button["payload"]) })
        }
        _ => None,
    }
}

fn object(value: &Value) -> Option<&Value> {
    value.is_object().then_some(value)
}

fn text(message: &Value) -> Option<&str> {
    (message["type"] == "text").then(|| message["text"]["body"].as_str()).flatten()
}

fn has_keyword(text: &str, keywords: &[String]) -> bool {
    let text = text.to_lowercase();
    keywords.iter().any(|word| text.contains(word))
}

fn other(message: &Value, phone: Option<&str>, id: Option<&str>, at: Timestamp) -> NewEvent {
    let kind = message["type"].as_str().unwrap_or("unknown");
    let mut data = json!({"messageId": id, "type": kind});
    let details = &message[kind];
    // What it is, never what is in it.
    for (from, to) in
        [("type", "subtype"), ("mime_type", "mimeType"), ("message_id", "reactsTo"), ("emoji", "emoji")]
    {
        if let Some(value) = details[from].as_str() {
            data[to] = value.chars().take(128).collect::<String>().into();
        }
    }
    if let Some(errors) = message["errors"].as_array() {
        data["errors"] = errors.iter().take(8).map(error).collect();
    }
    NewEvent::other(at, phone, kind, &data)
}

fn error(error: &Value) -> Value {
    json!({"code": error["code"], "title": error["title"], "details": error["error_data"]["details"]})
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Made, Reading, StoreText, Timestamp, Value, json, of_message, of_status};

    fn made_of(message: &Value) -> Made {
        let keywords = ["retrieve", "zugriff"].map(str::to_owned);
        let reading = Reading { keywords: &keywords, store_text: StoreText::Full };
        of_message(message, Some("15550100001"), Timestamp::UNIX_EPOCH, reading)
    }

    fn events_of(message: Value) -> usize {
        made_of(&message).entry.events.len()
    }

    #[test]
    fn a_keyword_makes_a_click_of_a_text() {
        let made = |body: &str| {
            let made = made_of(&json!({"id": "m", "type": "text", "text": {"body": body}}));
            (made.entry.events.len(), made.is_trigger)
        };
        assert_eq!(made("good morning"), (1, false));
        assert_eq!(made("content"), (1, false));
        assert_eq!(made("please REtrieve it"), (2, true));
        assert_eq!(made("ZUGRIFF"), (2, true));
    }

    #[test]
    fn every_click_is_a_trigger() {
        for (message, expected) in [
            (
                json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "x"}}}),
                true,
            ),
            (json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {}}}), true),
            (json!({"type": "button", "button": {"payload": "p"}}), true),
            (json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {}}}), false),
            (json!({"type": "image", "image": {"caption": "retrieve"}}), false),
        ] {
            assert_eq!(made_of(&message).is_trigger, expected, "{message}");
        }
    }

    #[test]
    fn every_message_makes_something() {
        for message in [
            json!({}),
            json!({"type": 7}),
            json!({"type": "text"}),
            json!({"type": "interactive", "interactive": {"type": "button_reply"}}),
            json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {}}}),
            json!({"type": "reaction", "reaction": {"message_id": "m"}}),
            json!({"type": "unsupported", "errors": [{"code": 131_051}, null]}),
        ] {
            assert_eq!(events_of(message.clone()), 1, "{message}");
        }
    }

    #[test]
    fn a_status_is_known_by_id_and_word() {
        let entry = of_status(&json!({"id": "wamid.1", "status": "read"}), Timestamp::UNIX_EPOCH);
        assert_eq!(entry.key.as_deref(), Some("wamid.1:read"));
    }
}
