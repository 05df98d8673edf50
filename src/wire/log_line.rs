//! A line of a log as JSON: what `dogwatch logs --json` prints and the API answers, one object a line.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::model::calendar::{RFC3339, write_rfc3339};

/// One line, or a part of one that is too long for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine<'a> {
    /// Version of this shape.
    pub v: u32,
    /// When it was written, to ten milliseconds, RFC 3339 in UTC with three digits behind the second, so that times
    /// sort as text; null if nobody knows.
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

/// Which of the logs of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamName {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
    /// Both, in one file (`log.merge`).
    Merged,
}

impl StreamName {
    /// The word in JSON and in the names of files.
    pub fn word(self) -> &'static str {
        match self {
            StreamName::Out => "out",
            StreamName::Error => "error",
            StreamName::Merged => "merged",
        }
    }
}

/// How an object begins whose line was written into the file as one (`log.format = "json"`), up to `line`, or `json`:
/// `{"v":1,"time":"2026-11-23T09:30:00.123Z","service":"web","stream":"out",`. The rest is that of a [`LogLine`]; in the
/// place of `line` there may be `json`, the line itself, which was an object. The time is that at which it was read.
pub fn write_head(to: &mut Vec<u8>, unix_ms: u64, service: &str, stream: StreamName) {
    to.extend_from_slice(BEGIN);
    write_rfc3339(to, unix_ms);
    write_owner(to, service, stream);
}

const BEGIN: &[u8] = br#"{"v":1,"time":""#;

fn write_owner(to: &mut Vec<u8>, service: &str, stream: StreamName) {
    for text in ["\",\"service\":\"", service, "\",\"stream\":\"", stream.word(), "\","] {
        to.extend_from_slice(text.as_bytes()); // no character of a name needs to be escaped
    }
}

/// Whether a line of a log is such an object of that service and stream, and the whole of it.
pub fn is_object(line: &[u8], service: &str, stream: StreamName) -> bool {
    let mut owner = Vec::new();
    write_owner(&mut owner, service, stream);
    let behind_time = || line.strip_prefix(BEGIN)?.get(RFC3339..);
    let rest = behind_time().and_then(|rest| rest.strip_prefix(&owner[..]));
    // An object stands there as it was written, also what is blank before it.
    let object = |rest: &[u8]| {
        rest.strip_prefix(b"\"json\":").is_some_and(|it| it.trim_ascii_start().starts_with(b"{"))
    };
    let known = rest.is_some_and(|rest| rest.starts_with(b"\"line\":\"") || object(rest));
    known && str::from_utf8(line).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
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
            time: Some("2026-11-23T09:30:00.120Z".to_owned()),
            service: "web".into(),
            stream: StreamName::Out,
            line: "hello".into(),
            lossy: false,
            partial: false,
            context: true,
        };
        let text = serde_json::to_string(&line).unwrap();
        let expected = r#"{"v":1,"time":"2026-11-23T09:30:00.120Z","service":"web","stream":"out","line":"hello","context":true}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<LogLine<'_>>(expected).unwrap(), line);
    }

    #[test]
    fn objects_of_a_file() {
        let mut head = Vec::new();
        write_head(&mut head, 1_795_374_300_123, "web", StreamName::Merged);
        let text = r#"{"v":1,"time":"2026-11-22T19:05:00.123Z","service":"web","stream":"merged","#;
        assert_eq!(str::from_utf8(&head), Ok(text));
        let is_one = |rest: &str| is_object(format!("{text}{rest}").as_bytes(), "web", StreamName::Merged);
        assert!(is_one(r#""line":"a"}"#) && is_one(r#""json":{"a":1}}"#));
        assert!(is_one(r#""json": 	{"a":1} }"#), "an object with blanks around it");
        for other in
            ["", r#""line":1}"#, r#""line":"a""#, r#""line":"a"}}"#, r#""json":{}"#, r#""other":"a"}"#]
        {
            assert!(!is_one(other), "{other}");
        }
        let whole = format!("{text}\"line\":\"a\"}}");
        assert!(!is_object(whole.as_bytes(), "api", StreamName::Merged));
        assert!(!is_object(whole.as_bytes(), "web", StreamName::Out));
        assert!(!is_object(b"{", "web", StreamName::Out));
    }
}
