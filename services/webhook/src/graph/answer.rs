//! What an answer means. Nothing here asks a clock or a socket.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;
use service_common::mask;

/// So much of an error's text is kept.
const MAX_TEXT: usize = 300;
/// So many digits, with what people write between them, may be somebody's number; error codes are shorter.
const NUMBER_DIGITS: usize = 7;
/// So many letters and digits without a pause may be a token; words are shorter.
const TOKEN_LENGTH: usize = 32;

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The platform took the message; mostly it tells the id that it gave it.
    Accepted { message_id: Option<String> },
    /// It says 200, and nothing that can be understood: the message may be on its way.
    Unclear(&'static str),
    /// It says something else than 200.
    Refused { status: u16, retry_after: Option<Duration>, code: Option<i64>, text: Option<String> },
    /// It says nothing: not reached, or not in time.
    NoAnswer(String),
}

/// What came back, as far as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Result<Vec<u8>, &'static str>,
}

impl Reply {
    /// What it means. `token` must not be seen in it, `now` is the moment for a date to wait for.
    pub(crate) fn outcome(self, token: &str, now: Timestamp) -> Outcome {
        if self.status != 200 {
            let body = self.body.unwrap_or_default();
            let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            let error = &body["error"];
            let text = error["message"].as_str().map(|text| harmless(text, token));
            let retry_after = self.retry_after.and_then(|value| retry_after(&value, now));
            return Outcome::Refused { status: self.status, retry_after, code: error["code"].as_i64(), text };
        }
        match self.body.map(|body| serde_json::from_slice::<Value>(&body)) {
            Ok(Ok(body)) => {
                Outcome::Accepted { message_id: body["messages"][0]["id"].as_str().map(str::to_owned) }
            }
            Ok(Err(_)) => Outcome::Unclear("the answer is not JSON"),
            Err(trouble) => Outcome::Unclear(trouble),
        }
    }
}

impl Outcome {
    /// The whole reason of a failure, for the database.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Refused { text: Some(text), .. } => format!("{self}: {text}"),
            _ => self.to_string(),
        }
    }
}

/// In short, for the log: without the platform's own words.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { .. } => f.write_str("accepted"),
            Self::Unclear(trouble) => write!(f, "HTTP 200, but {trouble}"),
            Self::Refused { status, code: Some(code), .. } => write!(f, "HTTP {status}, error {code}"),
            Self::Refused { status, code: None, .. } => write!(f, "HTTP {status}"),
            Self::NoAnswer(trouble) => f.write_str(trouble),
        }
    }
}

/// How long to wait: seconds, or a date of HTTP; nothing, if it is neither. A date that is past is now.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is for ever: the rule has a cap.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// An error's text without the token, without what looks like one or like a number, and not too long.
fn harmless(text: &str, token: &str) -> String {
    let text = if token.is_empty() { text.to_owned() } else { text.replace(token, "(hidden)") };
    let (mut kept, mut rest) = (String::new(), text.as_str());
    while let Some(first) = rest.chars().next()
        && kept.chars().count() <= MAX_TEXT
    {
        let word = leading(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let number = leading(rest, |c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')' | '.'));
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let taken = if word.len() >= TOKEN_LENGTH {
            kept.push_str("(hidden)");
            word.len()
        } else if first.is_ascii_digit() && digits.len() >= NUMBER_DIGITS {
            kept.push_str(&mask(&digits));
            number.trim_end_matches(|c: char| !c.is_ascii_digit()).len()
        } else {
            let run =
                leading(rest, |c| c.is_ascii_digit() == first.is_ascii_digit() && c.is_ascii_alphanumeric());
            let length = run.len().max(first.len_utf8());
            kept.push_str(&rest[..length]);
            length
        };
        rest = &rest[taken..];
    }
    match kept.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &kept[..end]),
        None => kept,
    }
}

fn leading(text: &str, fits: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Duration, Outcome, Reply, Timestamp, harmless, retry_after};

    const TOKEN: &str = "example-access-token";

    fn outcome(status: u16, body: &str) -> Outcome {
        let reply = Reply { status, retry_after: None, body: Ok(body.as_bytes().to_vec()) };
        reply.outcome(TOKEN, Timestamp::UNIX_EPOCH)
    }

    fn accepted(id: Option<&str>) -> Outcome {
        Outcome::Accepted { message_id: id.map(str::to_owned) }
    }

    #[test]
    fn success_is_200_and_json() {
        assert_eq!(outcome(200, r#"{"messages": [{"id": "wamid.1"}]}"#), accepted(Some("wamid.1")));
        for without_id in ["{}", "[]", "null", r#"{"messages": []}"#, r#"{"messages": [{"id": 7}]}"#] {
            assert_eq!(outcome(200, without_id), accepted(None), "{without_id}");
        }
        for unclear in ["", "OK", "{", "<html>"] {
            assert!(matches!(outcome(200, unclear), Outcome::Unclear(_)), "{unclear}");
        }
        for other in [100, 201, 204, 302, 400, 500] {
            assert!(matches!(outcome(other, "{}"), Outcome::Refused { status, .. } if status == other));
        }
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let body = json!({"error": {"code": 131_030, "message": "+1 555 010 0001 is not in the list"}});
        let refused = outcome(400, &body.to_string());
        assert_eq!(refused.to_string(), "HTTP 400, error 131030");
        assert_eq!(refused.reason(), "HTTP 400, error 131030: +…0001 is not in the list");
        assert_eq!(outcome(502, "<html>").reason(), "HTTP 502");
    }

    #[test]
    fn secrets_and_numbers_are_hidden() {
        let long = "x".repeat(40);
        for (text, expected) in [
            (format!("token {TOKEN}, {TOKEN}!"), "token (hidden), (hidden)!".to_owned()),
            (format!("Malformed access token {long}"), "Malformed access token (hidden)".to_owned()),
            ("to 15550100001.".to_owned(), "to …0001.".to_owned()),
            ("to (1555) 010-0001 now".to_owned(), "to (…0001 now".to_owned()),
            ("(#131030) code 100".to_owned(), "(#131030) code 100".to_owned()),
            ("ä".repeat(301), format!("{}…", "ä".repeat(300))),
        ] {
            assert_eq!(harmless(&text, TOKEN), expected);
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:30Z".parse().expect("a moment");
        for (value, expected) in [
            ("0", Some(0)),
            (" 12 ", Some(12)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    /// A number, a text or a list has no error in it, and is an answer all the same.
    #[test]
    fn json_that_is_no_object_is_an_answer_too() {
        for body in ["0", "\"text\"", "[1]", "null", "{\"error\":5}"] {
            let reply = Reply { status: 500, retry_after: None, body: Ok(body.into()) };
            let refused = Outcome::Refused { status: 500, retry_after: None, code: None, text: None };
            assert_eq!(reply.outcome(TOKEN, Timestamp::UNIX_EPOCH), refused, "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_back_means_something(
            status in 100_u16..600,
            wait in proptest::option::of(".*"),
            body in ".*",
        ) {
            let reply = Reply { status, retry_after: wait, body: Ok(body.into_bytes()) };
            let is_success = matches!(reply.outcome(TOKEN, Timestamp::UNIX_EPOCH), Outcome::Accepted { .. });
            prop_assert!(!is_success || status == 200);
        }

        #[test]
        fn no_number_and_no_token_gets_through(before in ".{0,40}", after in ".{0,40}") {
            let kept = harmless(&format!("{before} 15550100001 {TOKEN} {after}"), TOKEN);
            prop_assert!(!kept.contains(TOKEN) && !kept.contains("15550100001"), "{}", kept);
            prop_assert!(kept.chars().count() <= 301);
        }
    }
}
