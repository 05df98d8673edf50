//! A line as a syslog message: RFC 5424.

use jiff::Timestamp;

use super::outlet::Message;
use crate::model::sink::Facility;
use crate::wire::log_line::StreamName;

/// Severities (RFC 5424, 6.2.1).
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;
/// The longest APP-NAME, bytes.
const APP_NAME: usize = 48;

/// The number of a message's severity, as syslog and systemd's journal count.
pub fn severity(message: &Message<'_>) -> u8 {
    match (message.notice, message.stream) {
        (true, _) => WARNING,
        (false, StreamName::Out | StreamName::Merged) => INFO,
        (false, StreamName::Error) => ERROR,
    }
}

/// When a line was written, RFC 3339 with six digits of a second; none if nobody knows.
pub fn time(unix_ns: Option<u64>) -> Option<String> {
    let at = Timestamp::from_nanosecond(i128::from(unix_ns?)).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// Adds the message to `out`: `<30>1 TIME HOST SERVICE PID out - LINE`, at most `most` bytes. What is too long is cut,
/// and says at its end how much of it. True if it was.
pub fn encode(message: &Message<'_>, host: &str, facility: Facility, most: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let priority = facility.number() * 8 + severity(message);
    let time = time(message.line.at);
    let app = &message.service[..message.service.len().min(APP_NAME)]; // names are ASCII
    let pid = message.pid.map(|pid| pid.to_string());
    let nil = || "-".to_owned();
    let (time, pid, kind) = (time.unwrap_or_else(nil), pid.unwrap_or_else(nil), message.stream.word());
    out.extend_from_slice(format!("<{priority}>1 {time} {host} {app} {pid} {kind} - ").as_bytes());
    let room = most.saturating_sub(out.len() - start);
    let bytes = &message.line.bytes;
    if bytes.len() <= room {
        out.extend_from_slice(bytes);
        return false;
    }
    // The longest mark there can be, so that it fits however much is cut.
    let kept = room.saturating_sub(mark(bytes.len()).len());
    let kept = at_character(bytes, kept);
    out.extend_from_slice(&bytes[..kept]);
    out.extend_from_slice(mark(bytes.len() - kept).as_bytes());
    true
}

fn mark(cut: usize) -> String {
    format!(" [dogwatch: {cut} more bytes]")
}

/// The last place up to `at` that is not within a character of UTF-8.
fn at_character(bytes: &[u8], at: usize) -> usize {
    let inside = |place: &usize| bytes.get(*place).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|place| !inside(place)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::sieve::Line;

    fn text(bytes: &[u8], most: usize, change: impl Fn(&mut Message<'_>)) -> (String, bool) {
        let line = Line { at: Some(1_795_373_591_120_000_000), bytes: bytes.to_vec(), ..Line::default() };
        let mut message = Message {
            label: 0,
            service: "web",
            stream: StreamName::Out,
            pid: Some(42),
            line: &line,
            notice: false,
        };
        change(&mut message);
        let mut out = b"before".to_vec();
        let cut = encode(&message, "shop1", Facility::default(), most, &mut out);
        (String::from_utf8_lossy(&out[6..]).into_owned(), cut)
    }

    #[test]
    fn messages() {
        assert_eq!(
            text(b"hello", 2048, |_| {}),
            ("<30>1 2026-11-22T18:53:11.120000Z shop1 web 42 out - hello".to_owned(), false)
        );
        let of_error = text(b"", 2048, |message| {
            (message.stream, message.pid) = (StreamName::Error, None);
        });
        assert_eq!(of_error.0, "<27>1 2026-11-22T18:53:11.120000Z shop1 web - error - ");
        assert!(text(b"x", 2048, |message| message.notice = true).0.starts_with("<28>1 "));
        assert_eq!(time(None), None);
    }

    #[test]
    fn what_is_too_long_says_how_much() {
        let long = "ä".repeat(1000);
        let (cut, was_cut) = text(long.as_bytes(), 480, |_| {});
        assert!(was_cut && cut.len() <= 480 && cut.len() > 470, "{}", cut.len());
        let (kept, more) = cut.split_once(" [dogwatch: ").unwrap();
        let kept = kept.rsplit_once(' ').unwrap().1.len();
        assert_eq!(more, format!("{} more bytes]", 2000 - kept));
        assert!(!cut.contains('\u{fffd}'), "no character is torn");
    }
}
