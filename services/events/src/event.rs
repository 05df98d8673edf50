//! What happened, in the words of the database.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Texts are kept up to this many characters.
const MAX_TEXT: usize = 4096;

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A button or list row was chosen, or a text asked for the same.
    ButtonClick,
    /// A text came in.
    TextMessage,
    /// An item of content was delivered, or failed.
    ContentDelivery,
    /// What became of a message that was sent.
    MessageStatus,
    /// Any other message: media, reactions, unknown types.
    OtherMessage,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::ButtonClick,
        Self::TextMessage,
        Self::ContentDelivery,
        Self::MessageStatus,
        Self::OtherMessage,
    ];

    /// The word in the column `event_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ButtonClick => "button_click",
            Self::TextMessage => "text_message",
            Self::ContentDelivery => "content_delivery",
            Self::MessageStatus => "message_status",
            Self::OtherMessage => "other_message",
        }
    }
}

/// How much of a message text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreText {
    /// The text, up to 4096 characters.
    Full,
    /// Its length only.
    None,
}

/// What a click came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger<'a> {
    /// A reply button of an interactive message.
    Button {
        /// The reply's id.
        id: &'a str,
        /// The reply's title.
        title: &'a str,
    },
    /// A row of a list message.
    List {
        /// The row's id.
        id: &'a str,
        /// The row's title.
        title: &'a str,
    },
    /// A quick reply of a template.
    Template {
        /// The text on the button.
        text: &'a str,
        /// What the template says the button means.
        payload: &'a str,
    },
    /// A text that held a keyword.
    Text(&'a str),
}

/// One event to be written, with all the rows it makes. Its JSON is the spool's: changes need a new version there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    pub(crate) kind: Kind,
    #[serde(rename = "at_ms", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub(crate) at: Timestamp,
    pub(crate) phone: Option<String>,
    pub(crate) button_id: Option<String>,
    pub(crate) message_type: String,
    pub(crate) data: String,
    /// The content of the incoming row in `conversations`, if the event makes one.
    pub(crate) incoming: Option<String>,
    /// What a delivery makes beside its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
}

/// How the delivery of one item of content ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered<'a> {
    /// The item's id.
    pub item: &'a str,
    /// The item's type: `text`, `image`.
    pub item_type: &'a str,
    /// From the first attempt to the end of the last one, in milliseconds.
    pub took_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Accepted, or given up.
    pub end: DeliveryEnd<'a>,
}

/// What the platform made of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEnd<'a> {
    /// It took it.
    Accepted {
        /// The id it gave the message, if it told one.
        message_id: Option<&'a str>,
        /// Of the first item that a trigger brought: from the trigger's receipt to now, in milliseconds.
        answered_ms: Option<u64>,
    },
    /// It did not, for this reason.
    GivenUp(&'a str),
}

/// The rows of a delivery in `conversations` and `webhook_metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) item: String,
    pub(crate) item_type: String,
    pub(crate) success: bool,
    pub(crate) took_ms: u64,
    pub(crate) answered_ms: Option<u64>,
}

/// What one message made, written whole or not at all. Its JSON is the spool's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the message is known by. An entry whose key is in the database already is not written again.
    pub key: Option<String>,
    /// Its events, in their order.
    pub events: Vec<NewEvent>,
}

impl NewEvent {
    /// A click.
    #[must_use]
    pub fn click(
        at: Timestamp,
        phone: Option<&str>,
        message_id: Option<&str>,
        trigger: Trigger<'_>,
        store: StoreText,
    ) -> Self {
        let (button_id, mut data) = match trigger {
            Trigger::Button { id, title } => {
                (id, json!({"id": id, "title": title, "format": "interactive_button"}))
            }
            Trigger::List { id, title } => {
                (id, json!({"id": id, "title": title, "format": "interactive_list"}))
            }
            Trigger::Template { text, payload } => {
                (payload, json!({"text": text, "payload": payload, "format": "legacy_button"}))
            }
            Trigger::Text(text) => {
                let mut data = json!({});
                put_text(&mut data, text, store);
                data["format"] = "text_trigger".into();
                ("text_trigger", data)
            }
        };
        data["messageId"] = message_id.into();
        Self {
            kind: Kind::ButtonClick,
            at,
            phone: phone.map(str::to_owned),
            button_id: Some(button_id).filter(|id| !id.is_empty()).map(str::to_owned),
            message_type: "interactive".to_owned(),
            data: data.to_string(),
            incoming: None,
            delivery: None,
        }
    }

    /// A text that came in.
    #[must_use]
    pub fn text(
        at: Timestamp,
        phone: Option<&str>,
        message_id: Option<&str>,
        text: &str,
        store: StoreText,
    ) -> Self {
        let mut data = json!({});
        put_text(&mut data, text, store);
        data["direction"] = "incoming".into();
        data["messageId"] = message_id.into();
        let content = match store {
            StoreText::Full => cut(text).0.to_owned(),
            StoreText::None => String::new(),
        };
        Self { incoming: Some(content), ..Self::plain(Kind::TextMessage, at, phone, "text", &data) }
    }

    /// An item of content that reached `phone`, or did not.
    #[must_use]
    pub fn delivery(at: Timestamp, phone: &str, delivered: &Delivered<'_>) -> Self {
        let (success, message_id, answered_ms, error) = match delivered.end {
            DeliveryEnd::Accepted { message_id, answered_ms } => (true, message_id, answered_ms, None),
            DeliveryEnd::GivenUp(error) => (false, None, None, Some(error)),
        };
        let mut data = json!({
            "contentId": delivered.item,
            "success": success,
            "responseTime": delivered.took_ms,
            "deliveryTime": at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            "messageId": message_id,
            "attempts": delivered.attempts,
        });
        if let Some(error) = error {
            data["error"] = error.into();
        }
        let delivery = Delivery {
            item: delivered.item.to_owned(),
            item_type: delivered.item_type.to_owned(),
            success,
            took_ms: delivered.took_ms,
            answered_ms,
        };
        let event = Self::plain(Kind::ContentDelivery, at, Some(phone), "content", &data);
        Self { delivery: Some(delivery), ..event }
    }

    /// What became of a sent message; `data` is the object described in the contract.
    #[must_use]
    pub fn status(at: Timestamp, phone: Option<&str>, status: &str, data: &Value) -> Self {
        Self::plain(Kind::MessageStatus, at, phone, status, data)
    }

    /// Any other message; `data` holds its id, its type and small facts, never its media.
    #[must_use]
    pub fn other(at: Timestamp, phone: Option<&str>, message_type: &str, data: &Value) -> Self {
        Self::plain(Kind::OtherMessage, at, phone, message_type, data)
    }

    fn plain(kind: Kind, at: Timestamp, phone: Option<&str>, message_type: &str, data: &Value) -> Self {
        Self {
            kind,
            at,
            phone: phone.map(str::to_owned),
            button_id: None,
            message_type: message_type.to_owned(),
            data: data.to_string(),
            incoming: None,
            delivery: None,
        }
    }

    /// The moment of receipt, as the database writes it.
    pub(crate) fn database_time(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

fn put_text(data: &mut Value, text: &str, store: StoreText) {
    match store {
        StoreText::Full => {
            let (kept, cut) = cut(text);
            data["text"] = kept.into();
            if cut {
                data["truncated"] = true.into();
            }
        }
        StoreText::None => data["length"] = text.chars().count().into(),
    }
}

/// The part that is kept, and whether there was more.
fn cut(text: &str) -> (&str, bool) {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, NewEvent, StoreText, Timestamp, Trigger, Value};

    const PHONE: Option<&str> = Some("15550100001");

    fn data(event: &NewEvent) -> Value {
        serde_json::from_str(&event.data).expect("event data is JSON")
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let event =
            NewEvent::text(Timestamp::UNIX_EPOCH, PHONE, Some("m"), &"ä".repeat(5000), StoreText::Full);
        let data = data(&event);
        assert_eq!(data["text"].as_str().map(|text| text.chars().count()), Some(4096));
        assert_eq!(data["truncated"], true);
    }

    #[test]
    fn texts_can_be_left_out() {
        let text = NewEvent::text(Timestamp::UNIX_EPOCH, PHONE, Some("m"), "content", StoreText::None);
        let click = NewEvent::click(
            Timestamp::UNIX_EPOCH,
            PHONE,
            Some("m"),
            Trigger::Text("content"),
            StoreText::None,
        );
        for event in [text, click] {
            assert!(!event.data.contains("content\""), "{}", event.data);
            assert_eq!(data(&event)["length"], 7);
        }
    }

    #[test]
    fn an_empty_button_is_no_button() {
        let trigger = Trigger::Button { id: "", title: "" };
        let event = NewEvent::click(Timestamp::UNIX_EPOCH, PHONE, None, trigger, StoreText::Full);
        assert_eq!((event.kind, event.button_id.as_deref()), (Kind::ButtonClick, None));
        assert_eq!(data(&event)["messageId"], Value::Null);
    }
}
