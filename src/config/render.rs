//! Mistakes as an operator sees them: place, words, the line itself, the offending part underlined.
//!
//! ```text
//! ecosystem.toml:12:1: unknown key `memroy` in [services.web]
//!    12 | memroy = { limit = "100M" }
//!       | ^^^^^^ did you mean `memory`?
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::mistake::{Kind, Mistake};

/// At most this many are printed; a file of garbage has thousands.
const MOST: usize = 100;
/// Longer lines are cut to this many characters around the mistake.
const WIDTH: usize = 100;

/// All mistakes of a file, in the order of their places.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// The file as the caller named it.
    shown: String,
    source: String,
    /// Byte at which each line begins.
    lines: Vec<usize>,
    list: Vec<Mistake>,
}

/// One mistake with its place worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Line, from 1; absent when the mistake is about the file as a whole.
    pub line: Option<usize>,
    /// Character in the line, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl Mistakes {
    pub(super) fn new(shown: String, source: String, mut list: Vec<Mistake>) -> Mistakes {
        for mistake in &mut list {
            narrow(mistake, &source);
        }
        let lines: Vec<usize> =
            std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        list.sort_by_key(|mistake| mistake.span.as_ref().map_or(0, |span| span.start));
        hide_consequences(&mut list, &lines, &source);
        Mistakes { shown, source, lines, list }
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Each mistake with its place, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Located> + '_ {
        self.list.iter().map(|mistake| {
            let place = mistake.span.as_ref().map(|span| self.place(span));
            Located {
                line: place.as_ref().map(|place| place.line),
                column: place.as_ref().map(|place| place.column),
                message: mistake.kind.to_string(),
                help: mistake.kind.help(),
            }
        })
    }

    fn place(&self, span: &Range<usize>) -> Placed<'_> {
        let start = floor(&self.source, span.start);
        let index = self.lines.partition_point(|line| *line <= start) - 1;
        let begin = self.lines[index];
        let text = self.source[begin..].split(['\n']).next().unwrap_or("");
        let text = text.strip_suffix('\r').unwrap_or(text);
        let end = floor(&self.source, span.end).clamp(start, begin + text.len().max(start - begin));
        let column = self.source[begin..start].chars().count() + 1;
        Placed { line: index + 1, column, text, length: self.source[start..end].chars().count().max(1) }
    }
}

struct Placed<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    length: usize,
}

/// The nearest start of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Underlines the part that the mistake is about, where it stands in the source as it was read.
fn narrow(mistake: &mut Mistake, source: &str) {
    let (Some(span), Some(part)) = (&mistake.span, &mistake.part) else {
        return;
    };
    let Some(text) = source.get(span.clone()) else {
        return;
    };
    if let Some(at) = text.find(part.as_str()) {
        let start = span.start + at;
        mistake.span = Some(start..start + part.len());
    }
}

/// After a syntax error the rest of the file is read as well as it can be. What then seems to be missing may
/// stand in the part that was not understood; a line that could not be read has one mistake, not two; and
/// after a quote or bracket that is never closed, every line lacks a comma.
fn hide_consequences(list: &mut Vec<Mistake>, lines: &[usize], source: &str) {
    let line = |mistake: &Mistake| {
        let start = mistake.span.as_ref().map_or(0, |span| span.start);
        lines.partition_point(|line| *line <= start) - 1
    };
    let is_syntax = |mistake: &Mistake| matches!(mistake.kind, Kind::Syntax(_));
    let broken: BTreeSet<usize> = list.iter().filter(|m| is_syntax(m)).map(line).collect();
    if broken.is_empty() {
        return;
    }
    let begin_of = |line: usize| lines.get(line).copied().unwrap_or(source.len());
    let says_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let mut before: Option<usize> = None;
    list.retain(|mistake| {
        let line = line(mistake);
        let Kind::Syntax(message) = &mistake.kind else {
            // What the parser put in the place of a value that it could not read has no width.
            let made_up = mistake.span.as_ref().is_some_and(Range::is_empty);
            return !mistake.kind.is_about_absence() && !broken.contains(&line) && !made_up;
        };
        let goes_on = message.starts_with("missing comma")
            && before.is_some_and(|before| {
                let between = source.get(begin_of(before + 1)..begin_of(line));
                between.is_none_or(|between| between.lines().all(says_nothing))
            });
        let hidden = before == Some(line) || goes_on;
        before = Some(line);
        !hidden
    });
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().take(MOST).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.one(mistake, f)?;
        }
        match self.list.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.shown),
        }
    }
}

impl Mistakes {
    fn one(&self, mistake: &Mistake, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, help) = (&mistake.kind, mistake.kind.help());
        let Some(span) = &mistake.span else {
            if let Kind::NoFile { .. } = kind {
                return write!(f, "{kind}");
            }
            write!(f, "{}: {kind}", self.shown)?;
            return match help.is_empty() {
                true => Ok(()),
                false => write!(f, "\n  {help}"),
            };
        };
        let place = self.place(span);
        let Placed { line, column, .. } = place;
        let (text, before, length) = window(place.text, column - 1, place.length);
        writeln!(f, "{}:{line}:{column}: {kind}", self.shown)?;
        writeln!(f, "{line:>5} | {text}")?;
        write!(f, "      | {:before$}{:^<length$}", "", "")?;
        match help.is_empty() {
            true => Ok(()),
            false => write!(f, " {help}"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// The part of a line to show, where in it the mistake begins, and how much of it to underline.
fn window(line: &str, before: usize, length: usize) -> (String, usize, usize) {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let chars: Vec<char> = line.chars().map(shown).collect();
    if chars.len() <= WIDTH {
        let line: String = chars.into_iter().collect();
        return (line.trim_end().to_owned(), before, length);
    }
    let from = before.saturating_sub(WIDTH / 3);
    let to = (from + WIDTH).min(chars.len());
    let (head, tail) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
    let text: String = chars[from.min(to)..to].iter().collect();
    let length = length.min(to.saturating_sub(before)).max(1);
    (format!("{head}{text}{tail}"), before - from + head.chars().count(), length)
}
