//! An entry as one line of JSON: so it waits, in memory and in the spool.
//!
//! In memory, too: a line is one piece of half the size, and thousands of them leave no holes in the heap behind.

use crate::Entry;

/// With the end of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(Box<[u8]>);

impl Line {
    pub(super) fn of(entry: &Entry) -> Self {
        let mut bytes = serde_json::to_vec(entry).expect("an entry has texts and numbers only, and no maps");
        bytes.push(b'\n');
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The entry again.
    pub(super) fn entry(&self) -> Entry {
        parse(&self.0).expect("it was made of an entry")
    }
}

/// None: torn by a crash, or no line of ours.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{Delivered, DeliveryEnd, NewEvent, StoreText, Trigger};

    fn event() -> impl Strategy<Value = NewEvent> {
        let at = (0_i64..4_000_000_000_000).prop_map(|at| Timestamp::from_millisecond(at).expect("in range"));
        let phone = prop::option::of(any::<String>());
        (at, phone, any::<String>(), any::<u64>(), 0..4).prop_map(|(at, phone, text, took_ms, kind)| {
            let phone = phone.as_deref();
            let end = DeliveryEnd::Accepted { message_id: Some(&text), answered_ms: Some(took_ms) };
            let delivered = Delivered { item: &text, item_type: "text", took_ms, attempts: 1, end };
            match kind {
                0 => NewEvent::text(at, phone, Some(&text), &text, StoreText::Full),
                1 => {
                    let trigger = Trigger::Template { text: &text, payload: &text };
                    NewEvent::click(at, phone, None, trigger, StoreText::Full)
                }
                2 => NewEvent::delivery(at, &text, &delivered),
                _ => NewEvent::other(at, phone, &text, &text.as_str().into()),
            }
        })
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(
            key in prop::option::of(any::<String>()),
            events in prop::collection::vec(event(), 0..3),
        ) {
            let entry = Entry { key, events };
            let line = Line::of(&entry);
            prop_assert_eq!(line.as_bytes().iter().position(|&byte| byte == b'\n'), Some(line.as_bytes().len() - 1));
            prop_assert_eq!(line.entry(), entry);
        }
    }

    /// As version 1 wrote them first.
    const OLD: &[&str] = &[
        r#"{"key":"m1","events":[{"kind":"button_click","at_ms":1767323045678,"phone":"15550100001","button_id":"UNLOCK","message_type":"interactive","data":"{\"messageId\":\"m1\"}","incoming":null}]}"#,
        r#"{"key":null,"events":[{"kind":"content_delivery","at_ms":1767323045678,"phone":null,"button_id":null,"message_type":"content","data":"{}","incoming":null,"delivery":{"item":"a","item_type":"text","success":true,"took_ms":4,"answered_ms":null}}]}"#,
    ];

    #[test]
    fn old_lines_are_read() {
        for old in OLD {
            let entry = parse(old.as_bytes()).expect("it is read");
            assert_eq!(Line::of(&entry).as_bytes(), format!("{old}\n").as_bytes());
        }
        assert_eq!(parse(b"{\"key\":\"torn"), None);
    }
}
