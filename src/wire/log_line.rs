//! A line of a log as JSON: what `dogwatch logs --json` prints and the API answers, one object a line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One line, or a part of one that is too long for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine<'a> {
    /// Version of this shape.
    pub v: u32,
    /// When it was written, to ten milliseconds, RFC 3339 in UTC; null if nobody knows.
    pub time: Option<String>,
    /// Whose line it is.
    pub service: Cow<'a, str>,
    /// Which of its logs.
    pub stream: StreamName,
    /// Its text without the line feed; U+FFFD stands for what is no UTF-8.
    pub line: Cow<'a, str>,
    /// Something in `line` was no UTF-8.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lossy: bool,
    /// The line goes on in the next object of this service and stream.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
    /// It does not match the pattern, but a line near it does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub context: bool,
}

/// Which of the two logs of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamName {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

impl StreamName {
    /// The word in JSON and in the names of files.
    pub fn word(self) -> &'static str {
        match self {
            StreamName::Out => "out",
            StreamName::Error => "error",
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        let line = LogLine {
            v: 1,
            time: Some("2026-11-23T09:30:00.12Z".to_owned()),
            service: "web".into(),
            stream: StreamName::Out,
            line: "hello".into(),
            lossy: false,
            partial: false,
            context: true,
        };
        let text = serde_json::to_string(&line).unwrap();
        let expected = r#"{"v":1,"time":"2026-11-23T09:30:00.12Z","service":"web","stream":"out","line":"hello","context":true}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<LogLine<'_>>(expected).unwrap(), line);
    }
}
