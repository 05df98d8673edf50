//! WhatsApp's side of the webhook: payloads as Meta's public reference shows them, signed.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Answer, Service};

/// The key of the signatures.
pub const SECRET: &str = "example-app-secret";
/// What proves to the platform's owner that the address is theirs.
pub const VERIFY_TOKEN: &str = "example-verify-token";
/// What the deliveries carry.
pub const ACCESS_TOKEN: &str = "example-access-token";
/// The number that receives.
pub const NUMBER_ID: &str = "100000000001234";
/// Who writes, unless a test says otherwise.
pub const SENDER: &str = "15550100001";

/// The value of `X-Hub-Signature-256` for these bytes.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key length");
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// Posts these bytes, signed.
#[must_use]
#[track_caller]
pub fn post_bytes(webhook: &Service, body: &[u8]) -> Answer {
    webhook.send("POST", "/webhook", &[("X-Hub-Signature-256", &sign(body))], body)
}

/// Posts these messages; the webhook must take them.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn post(webhook: &Service, messages: &[Value]) {
    deliver(webhook, &envelope(&json!({"messages": messages})));
}

/// Posts this payload; the webhook must take it.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn deliver(webhook: &Service, payload: &Value) {
    let answer = post_bytes(webhook, payload.to_string().as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"), "{payload}");
}

/// A whole payload around the value of one change.
#[must_use]
pub fn envelope(value: &Value) -> Value {
    let mut whole = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550109999", "phone_number_id": NUMBER_ID}});
    merge(&mut whole, value);
    json!({"object": "whatsapp_business_account", "entry": [entry(&[change(&whole)])]})
}

/// An entry with these changes.
#[must_use]
pub fn entry(changes: &[Value]) -> Value {
    json!({"id": "100000000000001", "changes": changes})
}

/// A change of the field `messages`.
#[must_use]
pub fn change(value: &Value) -> Value {
    json!({"field": "messages", "value": value})
}

/// A message of any type: `content` stands under the name of the type.
#[must_use]
pub fn message(id: &str, kind: &str, content: &Value) -> Value {
    json!({"from": SENDER, "id": id, "timestamp": "1767323045", "type": kind, kind: content})
}

/// A text.
#[must_use]
pub fn text(id: &str, body: &str) -> Value {
    message(id, "text", &json!({"body": body}))
}

/// A click on a button.
#[must_use]
pub fn click(id: &str) -> Value {
    let reply = json!({"id": "market", "title": "Market"});
    message(id, "interactive", &json!({"type": "button_reply", "button_reply": reply}))
}

/// A row chosen from a list.
#[must_use]
pub fn choice(id: &str) -> Value {
    let reply = json!({"id": "sectors", "title": "Sectors", "description": "All of them"});
    message(id, "interactive", &json!({"type": "list_reply", "list_reply": reply}))
}

/// A click on a button of a template.
#[must_use]
pub fn quick_reply(id: &str) -> Value {
    message(id, "button", &json!({"payload": "more", "text": "Tell me more"}))
}

/// What became of a message that was sent.
#[must_use]
pub fn status(id: &str, word: &str) -> Value {
    json!({"id": id, "status": word, "timestamp": "1767323046", "recipient_id": SENDER,
        "conversation": {"id": "c1", "origin": {"type": "service"}},
        "pricing": {"billable": true, "pricing_model": "CBP", "category": "service"}})
}

/// `message`, with these fields as well or instead.
#[must_use]
pub fn with(mut message: Value, fields: &Value) -> Value {
    merge(&mut message, fields);
    message
}

fn merge(into: &mut Value, fields: &Value) {
    let into = into.as_object_mut().expect("an object");
    into.extend(fields.as_object().expect("an object").clone());
}
