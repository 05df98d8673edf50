//! Lines as they are shown: text with a name before it, JSON, or pairs of key and value.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::sieve::{Line, Pattern};
use crate::model::date_format::DateFormat;
use crate::model::dress::Dress;
use crate::wire::VERSION;
use crate::wire::log_line::{self, LogLine, StreamName};

/// How a time stands before a line, unless somebody wants it otherwise (strftime).
pub const TIME: &str = "%Y-%m-%d %H:%M:%S%.3f";
/// In the place of a time that nobody knows.
const NO_TIME: &str = "-";
/// How a match looks on a terminal, and the end of it.
const MATCH: (&[u8], &[u8]) = (b"\x1b[1;31m", b"\x1b[22;39m");
/// The same for what is to be highlighted.
const HIGHLIGHT: (&[u8], &[u8]) = (b"\x1b[7m", b"\x1b[27m");

/// Whose lines those of a source are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The service.
    pub service: String,
    /// Which of its logs.
    pub stream: StreamName,
    /// What its lines look like in the file.
    pub dress: Dress,
    /// What stands before its lines in text.
    pub prefix: String,
}

/// The shape of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// The line, with what stands before it.
    #[default]
    Text,
    /// One object a line ([`LogLine`]).
    Json,
    /// `timestamp=… app=… type=… message=…`, as pm2 has it; with `id=…` if there are [`Look::ids`].
    Pairs,
    /// One object a line, with the keys that pm2 gives it.
    Pm2Json,
}

/// How a time stands before a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// As strftime has it.
    Strftime(String),
    /// As pm2 has it.
    Tokens(DateFormat),
}

/// What the lines look like.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The shape.
    pub shape: Shape,
    /// Text: the time before each line, in this format.
    pub time: Option<TimeFormat>,
    /// Text: matches of this pattern are marked.
    pub matches: Option<Pattern>,
    /// Text: this too.
    pub highlight: Option<Pattern>,
    /// Text: `--` between lines that are not neighbours.
    pub groups: bool,
    /// Text: no byte that was not written stands behind the last line.
    pub raw: bool,
    /// For pm2's users: the id of each source's service.
    pub ids: Vec<usize>,
}

/// A line as `pm2 logs --json` has it.
#[derive(Serialize)]
struct Pm2Line<'a> {
    message: &'a str,
    timestamp: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    process_id: Option<usize>,
    app_name: &'a str,
}

/// Turns lines into bytes.
#[derive(Debug)]
pub struct Renderer {
    labels: Vec<Label>,
    look: Look,
    zone: TimeZone,
    /// The source whose line has begun and not ended.
    inside: Option<usize>,
    /// The source of the line before.
    last: Option<usize>,
}

impl Renderer {
    /// For sources with these labels; times are shown in that zone.
    pub fn new(labels: Vec<Label>, look: Look, zone: TimeZone) -> Renderer {
        Renderer { labels, look, zone, inside: None, last: None }
    }

    /// Adds a line, or a part of one, to `out`.
    pub fn line(&mut self, source: usize, line: &Line, out: &mut Vec<u8>) {
        match self.look.shape {
            Shape::Text => self.text(source, line, out),
            Shape::Json => self.json(source, line, out),
            Shape::Pairs => self.pairs(source, line, out),
            Shape::Pm2Json => self.pm2_json(source, line, out),
        }
    }

    /// Nothing comes any more, or not for a while: a line that has not ended ends, unless all is raw.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.look.raw {
            self.end_line(out);
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.inside.take().is_some() {
            out.push(b'\n');
        }
    }

    fn text(&mut self, source: usize, line: &Line, out: &mut Vec<u8>) {
        if self.inside != Some(source) {
            self.end_line(out);
            let apart = line.gap || self.last != Some(source);
            if self.look.groups && self.last.is_some() && apart {
                out.extend_from_slice(b"--\n");
            }
            out.extend_from_slice(self.labels[source].prefix.as_bytes());
            if let Some(format) = self.look.time.as_ref().filter(|_| !self.has_time(source, line)) {
                out.extend_from_slice(self.local_time(line, format).as_bytes());
                out.push(b' ');
            }
        }
        self.last = Some(source);
        let marks = [(&self.look.matches, MATCH), (&self.look.highlight, HIGHLIGHT)];
        let mark = marks.iter().find_map(|(pattern, mark)| Some((pattern.as_ref()?, mark)));
        match mark.filter(|_| line.hit) {
            None => out.extend_from_slice(&line.bytes),
            Some((pattern, (begin, end))) => {
                let mut shown = 0;
                for found in pattern.find(&line.bytes).filter(|found| !found.is_empty()) {
                    out.extend_from_slice(&line.bytes[shown..found.start]);
                    out.extend_from_slice(begin);
                    out.extend_from_slice(&line.bytes[found.clone()]);
                    out.extend_from_slice(end);
                    shown = found.end;
                }
                out.extend_from_slice(&line.bytes[shown..]);
            }
        }
        let ends = line.ends && !(line.unfinished && self.look.raw);
        self.inside = (!ends).then_some(source);
        if ends {
            out.push(b'\n');
        }
    }

    /// Whether a line begins with its time in the file already.
    fn has_time(&self, source: usize, line: &Line) -> bool {
        let Label { service, stream, dress, .. } = &self.labels[source];
        let inline = matches!(dress, Dress::Inline(format) if format.length_in(&line.bytes).is_some());
        inline || log_line::is_object(&line.bytes, service, *stream)
    }

    fn json(&self, source: usize, line: &Line, out: &mut Vec<u8>) {
        let Label { service, stream, .. } = &self.labels[source];
        // An object of the file (`log.format = "json"`) is no line of another one.
        if line.begins && line.ends && log_line::is_object(&line.bytes, service, *stream) {
            let context: &[u8] = if line.hit { b"" } else { b",\"context\":true" };
            out.extend_from_slice(&line.bytes[..line.bytes.len() - 1]);
            out.extend_from_slice(context);
            out.extend_from_slice(b"}\n");
            return;
        }
        let text = String::from_utf8_lossy(&line.bytes);
        let object = LogLine {
            v: VERSION,
            time: line.at.and_then(stamp),
            service: service.into(),
            stream: *stream,
            lossy: matches!(text, std::borrow::Cow::Owned(_)),
            line: text,
            partial: !line.ends,
            context: !line.hit,
        };
        serde_json::to_writer(&mut *out, &object)
            .expect("a vector takes everything, and the object has strings only");
        out.push(b'\n');
    }

    fn pairs(&mut self, source: usize, line: &Line, out: &mut Vec<u8>) {
        if self.inside != Some(source) {
            self.finish(out);
            let Label { service, stream, .. } = &self.labels[source];
            let time = line.at.and_then(stamp).unwrap_or_else(|| NO_TIME.to_owned());
            let id = self.look.ids.get(source).map(|id| format!(" id={id}")).unwrap_or_default();
            let head = format!("timestamp={time} app={service}{id} type={} message=", stream.word());
            out.extend_from_slice(head.as_bytes());
        }
        out.extend_from_slice(&line.bytes);
        self.inside = (!line.ends).then_some(source);
        if line.ends {
            out.push(b'\n');
        }
    }

    fn pm2_json(&self, source: usize, line: &Line, out: &mut Vec<u8>) {
        let Label { service, stream, .. } = &self.labels[source];
        let object = Pm2Line {
            message: &String::from_utf8_lossy(&line.bytes),
            timestamp: line.at.and_then(stamp),
            kind: if *stream == StreamName::Error { "err" } else { stream.word() },
            process_id: self.look.ids.get(source).copied(),
            app_name: service,
        };
        serde_json::to_writer(&mut *out, &object)
            .expect("a vector takes everything, and the object has strings and a number only");
        out.push(b'\n');
    }

    fn local_time(&self, line: &Line, format: &TimeFormat) -> String {
        let at = line.at.and_then(timestamp).map(|at| at.to_zoned(self.zone.clone()));
        let text = at.and_then(|at| match format {
            TimeFormat::Strftime(format) => jiff::fmt::strtime::format(format, &at).ok(),
            TimeFormat::Tokens(format) => {
                let mut text = Vec::new();
                let unix_ms = u64::try_from(at.timestamp().as_millisecond()).ok()?;
                format.write(&mut text, unix_ms, at.offset().seconds());
                String::from_utf8(text).ok()
            }
        });
        text.unwrap_or_else(|| NO_TIME.to_owned())
    }
}

/// Whether a format of times is one.
///
/// # Errors
/// A sentence.
pub fn check_time_format(format: &str) -> Result<(), String> {
    let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(format, &now)
        .map(drop)
        .map_err(|error| format!("{format:?} is not a format of times ({error}); try {TIME:?}"))
}

fn timestamp(unix_ns: u64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(unix_ns)).ok()
}

/// A time for programs, always of the same length: so times sort as text, too.
fn stamp(unix_ns: u64) -> Option<String> {
    Some(format!("{:.3}", timestamp(unix_ns)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8], ends: bool) -> Line {
        let at = Some(1_795_373_591_120_000_000);
        Line { at, bytes: bytes.to_vec(), begins: true, ends, hit: true, ..Line::default() }
    }

    fn renderer(look: Look) -> Renderer {
        let label = |stream, prefix: &str| {
            let (service, dress) = ("web".to_owned(), Dress::Inline(DateFormat::default()));
            Label { service, stream, dress, prefix: prefix.to_owned() }
        };
        let labels = vec![label(StreamName::Out, "out | "), label(StreamName::Error, "err | ")];
        Renderer::new(labels, look, TimeZone::UTC)
    }

    fn shown(look: Look, lines: &[(usize, Line)]) -> String {
        let mut renderer = renderer(look);
        let mut out = Vec::new();
        lines.iter().for_each(|(source, line)| renderer.line(*source, line, &mut out));
        renderer.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn text() {
        let lines = [
            (0, line(b"one", true)),
            (1, line(b"be", false)),
            (1, Line { begins: false, ..line(b"gun", true) }),
            (0, line(b"cut", false)),
            (1, line(b"x", true)),
            (0, Line { begins: false, ..line(b"off", false) }),
        ];
        let expected = "out | one\nerr | begun\nout | cut\nerr | x\nout | off\n";
        assert_eq!(shown(Look::default(), &lines), expected);
        let look = Look { time: Some(TimeFormat::Strftime(TIME.to_owned())), ..Look::default() };
        assert_eq!(shown(look.clone(), &lines[..1]), "out | 2026-11-22 18:53:11.120 one\n");
        assert_eq!(shown(look, &[(0, Line { at: None, ..line(b"one", true) })]), "out | - one\n");
        let unfinished = [(0, Line { unfinished: true, ..line(b"o", true) }), (1, line(b"x", false))];
        assert_eq!(shown(Look::default(), &unfinished), "out | o\nerr | x\n");
        assert_eq!(shown(Look { raw: true, ..Look::default() }, &unfinished), "out | o\nerr | x");
    }

    #[test]
    fn marks_and_groups() {
        let look = Look { matches: Some(Pattern::new("o+", false).unwrap()), ..Look::default() };
        let found = shown(look, &[(0, line(b"foobo", true)), (0, Line { hit: false, ..line(b"o", true) })]);
        assert_eq!(found, "out | f\x1b[1;31moo\x1b[22;39mb\x1b[1;31mo\x1b[22;39m\nout | o\n");
        let look = Look { groups: true, ..Look::default() };
        let lines = [
            (0, line(b"a", true)),
            (0, line(b"b", true)),
            (0, Line { gap: true, ..line(b"c", true) }),
            (1, line(b"d", true)),
        ];
        assert_eq!(shown(look, &lines), "out | a\nout | b\n--\nout | c\n--\nerr | d\n");
    }

    #[test]
    fn for_programs() {
        let json = Look { shape: Shape::Json, ..Look::default() };
        let begin = r#"{"v":1,"time":"2026-11-22T18:53:11.120Z","service":"web","stream":"#;
        assert_eq!(
            shown(json.clone(), &[(0, line(b"a\"b", true))]),
            format!("{begin}\"out\",\"line\":\"a\\\"b\"}}\n")
        );
        let odd = Line { hit: false, ..line(b"\xff", false) };
        let expected = format!(
            "{begin}\"error\",\"line\":\"\u{fffd}\",\"lossy\":true,\"partial\":true,\"context\":true}}\n"
        );
        assert_eq!(shown(json, &[(1, odd)]), expected);
        let pairs = Look { shape: Shape::Pairs, ..Look::default() };
        let expected = "timestamp=2026-11-22T18:53:11.120Z app=web type=error message=a b\n";
        assert_eq!(shown(pairs, &[(1, line(b"a b", true))]), expected);
    }

    #[test]
    fn as_pm2_has_it() {
        let ids = vec![4, 4];
        let json = Look { shape: Shape::Pm2Json, ids: ids.clone(), ..Look::default() };
        let expected = concat!(
            r#"{"message":"a\"b","timestamp":"2026-11-22T18:53:11.120Z","type":"out","process_id":4,"app_name":"web"}"#,
            "\n",
            r#"{"message":"c","timestamp":null,"type":"err","process_id":4,"app_name":"web"}"#,
            "\n"
        );
        let lines = [(0, line(b"a\"b", true)), (1, Line { at: None, ..line(b"c", true) })];
        assert_eq!(shown(json, &lines), expected);
        let pairs = Look { shape: Shape::Pairs, ids, ..Look::default() };
        let expected = "timestamp=2026-11-22T18:53:11.120Z app=web id=4 type=out message=a b\n";
        assert_eq!(shown(pairs, &[(0, line(b"a b", true))]), expected);
        let format = DateFormat::parse("YYYY-MM-DD-HH:mm:ss").unwrap();
        let timed = Look { time: Some(TimeFormat::Tokens(format)), ..Look::default() };
        assert_eq!(shown(timed, &[(0, line(b"a", true))]), "out | 2026-11-22-18:53:11 a\n");
    }

    #[test]
    fn times_for_programs_sort_as_text() {
        for shape in [Shape::Json, Shape::Pairs] {
            let at = |ms: u64| Some((1_795_373_591_000 + ms) * 1_000_000);
            let lines = (0..=2000).map(|ms| (0, Line { at: at(ms), ..line(b"x", true) }));
            let text = shown(Look { shape, ..Look::default() }, &lines.collect::<Vec<_>>());
            assert!(text.lines().is_sorted(), "{text}");
        }
    }

    #[test]
    fn what_is_dressed_in_the_file_is_not_dressed_again() {
        let json = Look { shape: Shape::Json, ..Look::default() };
        let object =
            br#"{"v":1,"time":"2026-11-22T18:53:11.120Z","service":"web","stream":"out","json":{"a":1}}"#;
        let text = str::from_utf8(object).unwrap();
        assert_eq!(shown(json.clone(), &[(0, line(object, true))]), format!("{text}\n"));
        let near = shown(json.clone(), &[(0, Line { hit: false, ..line(object, true) })]);
        assert_eq!(near, text.replace("{\"a\":1}}", "{\"a\":1},\"context\":true}\n"));
        let other = shown(json, &[(1, line(object, true))]);
        assert!(other.contains(r#""stream":"error","line":"{\"v\":1,"#), "{other}");
        let timed = Look { time: Some(TimeFormat::Strftime(TIME.to_owned())), ..Look::default() };
        let lines = [(0, line(b"2026-11-22T18:53:11: one", true)), (0, line(object, true))];
        let lines = [lines[0].clone(), lines[1].clone(), (0, line(b"two", true))];
        let expected =
            format!("out | 2026-11-22T18:53:11: one\nout | {text}\nout | 2026-11-22 18:53:11.120 two\n");
        assert_eq!(shown(timed, &lines), expected);
    }

    #[test]
    fn formats() {
        assert_eq!(check_time_format(TIME), Ok(()));
        assert!(check_time_format("%").unwrap_err().starts_with("\"%\" is not a format of times"));
    }
}
