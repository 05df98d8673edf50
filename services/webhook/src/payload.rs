//! What is in a payload: every entry, every change, every message and status.
//!
//! Any field may be missing, null or of another type; what is broken is passed over and counted, and
//! costs its neighbours nothing.

use serde_json::Value;

/// One thing the platform reports.
#[derive(Debug, PartialEq)]
pub(crate) enum Item<'a> {
    /// Someone wrote or chose something. `contacts` may tell who, when the message does not.
    Message { message: &'a Value, contacts: &'a Value },
    /// What became of a message that was sent.
    Status(&'a Value),
    /// The platform met an error, known by its code.
    PlatformError(Option<i64>),
    /// Something else, or something broken.
    Ignored,
}

/// All items, in their order.
pub(crate) fn items(payload: &Value) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    for entry in list(&payload["entry"]) {
        for change in list(&entry["changes"]) {
            // Without a field it is taken for messages if it looks like them.
            if !matches!(change["field"].as_str(), Some("messages") | None) {
                items.push(Item::Ignored);
                continue;
            }
            let value = &change["value"];
            for message in list(&value["messages"]) {
                items.push(if message.is_object() {
                    Item::Message { message, contacts: &value["contacts"] }
                } else {
                    Item::Ignored
                });
            }
            for status in list(&value["statuses"]) {
                items.push(if status.is_object() { Item::Status(status) } else { Item::Ignored });
            }
            items.extend(
                list(&value["errors"]).iter().map(|error| Item::PlatformError(error["code"].as_i64())),
            );
        }
    }
    items
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Who sent a message: the number without `+`, else the id of a person who hides the number.
pub(crate) fn sender(message: &Value, contacts: &Value) -> Option<String> {
    phone(&message["from"])
        .or_else(|| phone(&message["from_user_id"]))
        .or_else(|| list(contacts).iter().find_map(|contact| phone(&contact["user_id"])))
}

/// A phone number as the database has it.
pub(crate) fn phone(value: &Value) -> Option<String> {
    let digits = match value {
        Value::String(text) => text.trim().trim_start_matches('+').to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!digits.is_empty() && digits.len() <= 64).then_some(digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Item, items, sender};

    #[test]
    fn broken_neighbours_cost_nothing() {
        let payload = json!({"entry": [
            null, {"changes": 7}, {"changes": [null, {"field": "account_update", "value": {}}]},
            {"changes": [
                {"field": "messages", "value": {"messages": [{"id": "a"}, 3, {"id": "b"}], "statuses": "none"}},
                {"field": "messages", "value": {"statuses": [{"id": "c"}, null], "errors": [{"code": 130_429}]}},
            ]},
        ]});
        let found = items(&payload);
        let messages = found.iter().filter(|item| matches!(item, Item::Message { .. })).count();
        let statuses = found.iter().filter(|item| matches!(item, Item::Status(_))).count();
        assert_eq!((messages, statuses), (2, 1));
        assert!(found.contains(&Item::PlatformError(Some(130_429))));
        assert_eq!(items(&json!([1, 2])), []);
    }

    #[test]
    fn a_sender_is_found_where_it_stands() {
        let nobody = json!(null);
        assert_eq!(sender(&json!({"from": "+15550100001"}), &nobody).as_deref(), Some("15550100001"));
        assert_eq!(
            sender(&json!({"from": null, "from_user_id": "US.1349"}), &nobody).as_deref(),
            Some("US.1349")
        );
        assert_eq!(sender(&json!({}), &json!([{}, {"user_id": "US.1"}])).as_deref(), Some("US.1"));
        assert_eq!(sender(&json!({"from": []}), &nobody), None);
    }
}
