//! What clients say.

use serde_json::{Map, Value};

use crate::channels::Channels;

/// One message of a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Ping,
    Metrics,
    Subscribe(Subscription),
}

/// What a client wants to see from now on.
#[derive(Debug, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) channels: Channels,
    /// The names as they were sent.
    pub(crate) names: Vec<String>,
    /// Those among them that nobody knows.
    pub(crate) unknown: Vec<String>,
    /// First what came after this id.
    pub(crate) since: Option<i64>,
}

/// What is wrong with a message: a word for programs, a sentence for people.
pub(crate) type Mistake = (&'static str, &'static str);

impl Request {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let Ok(Value::Object(message)) = serde_json::from_str(text) else {
            return Err(("invalid_json", "a message is one JSON object"));
        };
        match message.get("type").and_then(Value::as_str) {
            Some("ping") => Ok(Self::Ping),
            Some("request_metrics") => Ok(Self::Metrics),
            Some("subscribe") => subscription(&message).map(Self::Subscribe),
            _ => Err(("unknown_type", "type must be ping, request_metrics or subscribe")),
        }
    }
}

fn subscription(message: &Map<String, Value>) -> Result<Subscription, Mistake> {
    let mut names = names(message.get("channels"))?;
    if names.is_empty() {
        names.push("all".to_owned());
    }
    let (channels, unknown) = Channels::named_all(&names);
    if channels.is_empty() {
        return Err(("unknown_channels", "none of these channels exists; the subscription is as before"));
    }
    let since = match message.get("since_id") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_i64() {
            Some(since) if since >= 0 => Some(since),
            _ => return Err(("invalid_since_id", "since_id must be a whole number of 0 or more")),
        },
    };
    Ok(Subscription { channels, names, unknown, since })
}

fn names(channels: Option<&Value>) -> Result<Vec<String>, Mistake> {
    const MISTAKE: Mistake = ("invalid_channels", "channels must be a list of names");
    match channels {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|name| name.as_str().map(str::to_owned).ok_or(MISTAKE)).collect()
        }
        Some(_) => Err(MISTAKE),
    }
}

#[cfg(test)]
mod tests {
    use super::{Channels, Request};

    #[test]
    fn mistakes_have_names() {
        for (text, mistake) in [
            ("", "invalid_json"),
            ("[]", "invalid_json"),
            ("{}", "unknown_type"),
            (r#"{"type":7}"#, "unknown_type"),
            (r#"{"type":"subscribe","channels":"all"}"#, "invalid_channels"),
            (r#"{"type":"subscribe","channels":[1]}"#, "invalid_channels"),
            (r#"{"type":"subscribe","channels":["x"]}"#, "unknown_channels"),
            (r#"{"type":"subscribe","since_id":-1}"#, "invalid_since_id"),
            (r#"{"type":"subscribe","since_id":"1"}"#, "invalid_since_id"),
            (r#"{"type":"subscribe","since_id":1.5}"#, "invalid_since_id"),
        ] {
            assert_eq!(Request::parse(text).expect_err(text).0, mistake, "{text}");
        }
    }

    #[test]
    fn no_channels_means_all() {
        for text in [r#"{"type":"subscribe"}"#, r#"{"type":"subscribe","channels":[]}"#] {
            match Request::parse(text) {
                Ok(Request::Subscribe(wish)) => {
                    assert_eq!((wish.channels, wish.names), (Channels::ALL, vec!["all".to_owned()]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
