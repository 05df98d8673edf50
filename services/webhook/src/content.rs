//! The content that a trigger brings: a JSON array of items, sent in its order.
//!
//! ```json
//! [{"id": "overview", "type": "image", "url": "https://content.example.invalid/a.png", "caption": "Overview"},
//!  {"id": "analysis", "type": "text", "content": "What it means …"}]
//! ```

use serde_json::{Map, Value};

/// The platform's limits, in characters.
const MAX_TEXT: usize = 4096;
const MAX_CAPTION: usize = 1024;
const MAX_URL: usize = 2048;
/// Ours: ids stand in rows and log lines.
const MAX_ID: usize = 64;

/// One message of the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Unique within the file.
    pub(crate) id: String,
    pub(crate) body: Body,
}

/// What is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    /// The platform fetches the image itself.
    Image {
        url: String,
        caption: Option<String>,
    },
}

impl Body {
    /// The word for it, in the file, in the database and to the platform.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image { .. } => "image",
        }
    }
}

/// Reads the file's bytes.
///
/// # Errors
/// Every mistake in it, each with the number of its item, counted from 1, its key and the limit.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Item>, Vec<String>> {
    let file: Value = serde_json::from_slice(bytes).map_err(|error| vec![format!("not JSON: {error}")])?;
    let Value::Array(values) = file else {
        return Err(vec!["must be an array of items, such as []".to_owned()]);
    };
    let (mut items, mut mistakes) = (Vec::<Item>::new(), Vec::new());
    for (index, value) in values.iter().enumerate() {
        match item(value) {
            Ok(item) => {
                if let Some(first) = items.iter().position(|other| other.id == item.id) {
                    let first = first + 1;
                    mistakes.push(format!(
                        "item {}: `id` is that of item {first}; each needs its own",
                        index + 1
                    ));
                }
                items.push(item);
            }
            Err(mistake) => mistakes.push(format!("item {}: {mistake}", index + 1)),
        }
    }
    if mistakes.is_empty() { Ok(items) } else { Err(mistakes) }
}

fn item(value: &Value) -> Result<Item, String> {
    let item = value.as_object().ok_or("must be an object")?;
    let id = required(item, "id", MAX_ID)?;
    let body = match required(item, "type", MAX_ID)?.as_str() {
        "text" => {
            only(item, &["id", "type", "content"])?;
            Body::Text(required(item, "content", MAX_TEXT)?)
        }
        "image" => {
            only(item, &["id", "type", "url", "caption"])?;
            Body::Image { url: url(item)?, caption: optional(item, "caption", MAX_CAPTION)? }
        }
        _ => return Err("`type` must be \"text\" or \"image\"".to_owned()),
    };
    Ok(Item { id, body })
}

fn url(item: &Map<String, Value>) -> Result<String, String> {
    let url = required(item, "url", MAX_URL)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(url)
        }
        _ => Err("`url` must be a link that begins with https:// or http://".to_owned()),
    }
}

fn required(item: &Map<String, Value>, key: &str, limit: usize) -> Result<String, String> {
    optional(item, key, limit)?.ok_or_else(|| format!("`{key}` is missing or empty"))
}

fn optional(item: &Map<String, Value>, key: &str, limit: usize) -> Result<Option<String>, String> {
    match item.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match text.chars().count() {
            0 => Ok(None),
            length if length > limit => Err(format!("`{key}` has {length} characters; the limit is {limit}")),
            _ => Ok(Some(text.clone())),
        },
        Some(_) => Err(format!("`{key}` must be a string")),
    }
}

fn only(item: &Map<String, Value>, keys: &[&str]) -> Result<(), String> {
    match item.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(unknown) => Err(format!("unknown key `{unknown}`; there is: {}", keys.join(", "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Body, Item, parse};

    fn mistake(file: &serde_json::Value) -> String {
        parse(file.to_string().as_bytes()).expect_err("a mistake").join("; ")
    }

    #[test]
    fn items_keep_their_order() {
        let file = json!([
            {"id": "b", "type": "image", "url": "https://example.invalid/b.png", "caption": "B"},
            {"id": "c", "type": "image", "url": "https://example.invalid/c.png"},
            {"id": "a", "type": "text", "content": "ä".repeat(4096)},
        ]);
        let image = |id: &str, caption: Option<&str>| Item {
            id: id.to_owned(),
            body: Body::Image {
                url: format!("https://example.invalid/{id}.png"),
                caption: caption.map(str::to_owned),
            },
        };
        let text = Item { id: "a".to_owned(), body: Body::Text("ä".repeat(4096)) };
        assert_eq!(
            parse(file.to_string().as_bytes()),
            Ok(vec![image("b", Some("B")), image("c", None), text])
        );
        assert_eq!(parse(b"[]"), Ok(vec![]));
    }

    #[test]
    fn the_sample_has_the_items_of_the_original() {
        let items = parse(include_bytes!("../../../content.json")).expect("the sample is good");
        let found: Vec<_> = items.iter().map(|item| (item.id.as_str(), item.body.kind())).collect();
        let expected = [
            ("market_overview", "image"),
            ("market_analysis", "text"),
            ("portfolio_strategy", "image"),
            ("investment_strategy", "text"),
            ("sectoral_opportunities", "image"),
            ("sectoral_insights", "text"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mistake_names_item_key_and_limit() {
        let good = json!({"id": "a", "type": "text", "content": "x"});
        let image = |key: &str, value: serde_json::Value| {
            let mut image = json!({"id": "i", "type": "image", "url": "https://example.invalid/i.png"});
            image[key] = value;
            json!([good, image])
        };
        for (file, expected) in [
            (json!({}), "an array"),
            (json!([good, 7]), "item 2: must be an object"),
            (json!([{"type": "text", "content": "x"}]), "item 1: `id` is missing"),
            (json!([{"id": "a", "type": "audio"}]), "item 1: `type` must be"),
            (json!([{"id": "a", "type": "text", "content": ""}]), "item 1: `content` is missing or empty"),
            (
                json!([{"id": "a", "type": "text", "content": "x".repeat(4097)}]),
                "item 1: `content` has 4097 characters; the limit is 4096",
            ),
            (
                image("caption", "x".repeat(1025).into()),
                "item 2: `caption` has 1025 characters; the limit is 1024",
            ),
            (image("caption", 7.into()), "item 2: `caption` must be a string"),
            (image("captoin", "x".into()), "item 2: unknown key `captoin`"),
            (image("url", "ftp://example.invalid".into()), "item 2: `url` must be"),
            (image("url", "https://example.invalid/a b".into()), "item 2: `url` must be"),
            (json!([good, good]), "item 2: `id` is that of item 1"),
        ] {
            let told = mistake(&file);
            assert!(told.contains(expected), "{told}");
        }
        assert!(parse(b"[{").expect_err("not JSON")[0].contains("not JSON"));
        assert_eq!(parse(b"[1, {}, 2]").expect_err("three mistakes").len(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
