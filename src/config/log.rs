//! `log`: what a log looks like, when it is rotated, how much of it is kept, and what happens when it cannot be written.

use std::time::Duration;

use super::mistake::Kind;
use super::table::{Found, Table, Value};
use super::{keys, sinks};
use crate::model::date_format::{DateFormat, USUAL};
use crate::model::dress::Dress;
use crate::model::flood::Rate;
use crate::model::rotation::Every;
use crate::model::spec::OnFull;

/// The smallest budget of logs, bytes: in a smaller one a log would be rotated all the time.
const SMALLEST_BUDGET: u64 = 64 << 10;

/// `log = { … }`: what was written of it.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Rotate at this size.
    pub rotate_size: Option<u64>,
    /// And at this age.
    pub rotate_every: Option<Every>,
    /// Archives per stream.
    pub keep: Option<u32>,
    /// For so long.
    pub keep_for: Option<Duration>,
    /// gzip them.
    pub compress: Option<bool>,
    /// Bytes of all log files of the service.
    pub budget: Option<u64>,
    /// What becomes of what cannot be written.
    pub on_full: Option<OnFull>,
    /// The most in a second.
    pub max_rate: Option<Rate>,
    /// What its lines look like.
    pub dress: Dress,
    /// One file for both streams.
    pub merge: Option<bool>,
    /// Where its lines go.
    pub sinks: Option<sinks::Names>,
}

/// Reads `log`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<Log> {
    const ON_FULL: [(&str, OnFull); 2] = [("block", OnFull::Block), ("drop", OnFull::Drop)];
    let example = "{ rotate_size = \"10MiB\", keep = 14 }";
    let table = value.table("a table", example, &keys::LOG, found)?;
    let rotate_size = table.get("rotate_size");
    let on_full = table.get("on_full");
    let on_full = on_full.and_then(|key| key.word(&ON_FULL.map(|(word, _)| word), found));
    Some(Log {
        rotate_size: rotate_size.and_then(|key| key.size_above_zero(found)),
        rotate_every: table.get("rotate_every").and_then(|key| parsed(&key, "\"1d\"", Every::parse, found)),
        keep: table.get("keep").and_then(|key| key.count("write a number of archives, like 14", found)),
        keep_for: table.get("keep_for").and_then(|key| key.duration_above_zero(found)),
        compress: table.get("compress").and_then(|key| key.yes_or_no(found)),
        budget: table.get("budget").and_then(|key| budget(&key, found)),
        on_full: on_full.map(|word| ON_FULL[word].1),
        sinks: table.get("sinks").and_then(|key| sinks::names(&key, found)),
        max_rate: table.get("max_rate").and_then(|key| parsed(&key, "\"1000 lines/s\"", Rate::parse, found)),
        dress: dress(&table, found),
        merge: table.get("merge").and_then(|key| key.yes_or_no(found)),
    })
}

/// Reads `budget` of a service, or `log_budget` of several.
pub(super) fn budget(key: &Value<'_>, found: &mut Found) -> Option<u64> {
    let size = key.size_above_zero(found)?;
    let fits = size >= SMALLEST_BUDGET;
    if !fits {
        let (expected, help) = ("at least 64KiB", "files and archives share it; \"500MiB\" is usual");
        found.note(key.span.clone(), Kind::OutOfRange { at: key.at.clone(), expected, help });
    }
    fits.then_some(size)
}

/// Reads `timestamps`, `date_format` and `format`.
fn dress(table: &Table<'_>, found: &mut Found) -> Dress {
    let (timestamps, format) = (table.get("timestamps"), table.get("format"));
    let word = |key: &Option<Value<'_>>, words: &[&str], found: &mut Found| {
        key.as_ref().map(|key| key.word(words, found))
    };
    let wanted = word(&timestamps, &["index", "inline"], found);
    let inline = wanted == Some(Some(1));
    let json = word(&format, &["plain", "json"], found) == Some(Some(1));
    let date_format = table.get("date_format").and_then(|key| {
        let example = format!("{USUAL:?}");
        Some((parsed(&key, &example, DateFormat::parse, found)?, key))
    });
    let mut clash = |key: &Value<'_>, why| {
        found.note(key.span.clone(), Kind::Dress { at: key.at.clone(), why });
    };
    match (&timestamps, &date_format) {
        (Some(key), _) if inline && json => {
            clash(key, "each object of format = \"json\" has its time already; keep one of the two");
        }
        (_, Some((_, key))) if json => clash(key, "times of format = \"json\" are RFC 3339; remove it"),
        (None, Some((_, key))) => {
            clash(key, "it is for times in the file; add timestamps = \"inline\"");
        }
        (Some(_), Some((_, key))) if wanted == Some(Some(0)) => {
            clash(key, "it is for times in the file; write timestamps = \"inline\"");
        }
        _ => {}
    }
    match (inline, json) {
        (true, _) => Dress::Inline(date_format.map(|(format, _)| format).unwrap_or_default()),
        (false, true) => Dress::Json,
        (false, false) => Dress::Plain,
    }
}

/// A text with a grammar of its own.
fn parsed<T>(
    key: &Value<'_>,
    example: &str,
    parse: fn(&str) -> Result<T, String>,
    found: &mut Found,
) -> Option<T> {
    let text = key.text(example, found)?;
    match parse(text.get_ref()) {
        Ok(value) => Some(value),
        Err(why) => {
            found.note(key.span.clone(), Kind::Grammar { at: key.at.clone(), why });
            None
        }
    }
}
