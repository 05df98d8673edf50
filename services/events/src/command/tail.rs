//! `events tail`

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use events::upkeep::Stop;
use events::{Error, EventRow, Freshness, Reader, queries};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde_json::{Map, Value};
use service_common::mask;

use super::context::Context;
use super::exit_code;
use super::failure::Outcome;
use super::output::{clean, print, print_json, tell};
use super::signals::Signals;

/// How often new events are looked for.
const PERIOD: Duration = Duration::from_millis(100);
/// Rows read at once.
const ROWS: u32 = 500;
/// What may be shown of an event's data: nothing that a person wrote or is called by.
const PLAIN: [&str; 9] =
    ["contentId", "success", "responseTime", "attempts", "status", "type", "format", "direction", "length"];

/// `tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Phone numbers are shown as …1234 and texts not at all, unless --reveal. With --json each event is one line.
Example: events tail -n 20 --follow")]
pub struct Tail {
    /// How many of the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=100_000))]
    lines: u32,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Whole numbers, and all that is stored, texts too
    #[arg(long)]
    reveal: bool,
}

/// An event as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: i64,
    timestamp: Option<&'a str>,
    event_type: &'a str,
    message_type: Option<&'a str>,
    advisor_phone: Option<String>,
    button_id: Option<&'a str>,
    /// Of its data what anyone may see.
    detail: Map<String, Value>,
    /// The stored text, if it is revealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_data: Option<&'a str>,
}

impl Tail {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        let failure = |error: Error| context.failure("read", &error);
        let mut reader = Reader::that_only_looks(context.database.clone());
        let mut cursor = reader.ask(|db| queries::before_last(db, self.lines)).map_err(failure)?;
        cursor = self.print_after(&mut reader, cursor, context.json)?.map_err(failure)?;
        if self.follow {
            let signals = Signals::watch()?;
            self.go_on(&mut reader, cursor, context.json, &signals.stop)?;
        }
        Ok(ExitCode::from(exit_code::OK))
    }

    /// Until a signal comes or nobody reads any more, whatever happens to the database.
    fn go_on(&self, reader: &mut Reader, mut cursor: i64, json: bool, stop: &Stop) -> Outcome {
        let mut seen = None;
        let mut is_away = false;
        while !stop.wait(PERIOD) && is_read() {
            match look(reader, &mut cursor, &mut seen) {
                Ok(false) => {}
                Ok(true) => match self.print_after(reader, cursor, json)? {
                    Ok(last) => cursor = last,
                    // Looked at again, and told, the next time.
                    Err(_) => seen = None,
                },
                Err(error) => {
                    if !is_away {
                        tell(format!("waiting: {error}"));
                    }
                    is_away = true;
                    continue;
                }
            }
            is_away = false;
        }
        Ok(())
    }

    /// Prints all rows after the cursor, and returns the new one. The outer error is that of printing.
    fn print_after(&self, reader: &mut Reader, mut cursor: i64, json: bool) -> Outcome<Result<i64, Error>> {
        loop {
            let rows = match reader.ask(|db| queries::rows_after(db, cursor, ROWS)) {
                Ok(rows) => rows,
                Err(error) => return Ok(Err(error)),
            };
            for row in &rows {
                let shown = self.shown(row);
                if json {
                    print_json(&shown)?
                } else {
                    print(&line(&shown))?
                }
                cursor = row.id;
            }
            if rows.is_empty() {
                return Ok(Ok(cursor));
            }
        }
    }

    fn shown<'a>(&self, row: &'a EventRow) -> Shown<'a> {
        let phone = row.advisor_phone.as_deref();
        Shown {
            id: row.id,
            timestamp: row.timestamp.as_deref(),
            event_type: &row.event_type,
            message_type: row.message_type.as_deref(),
            advisor_phone: if self.reveal { phone.map(str::to_owned) } else { phone.map(mask) },
            button_id: row.button_id.as_deref(),
            detail: detail(row.event_data.as_deref()),
            event_data: row.event_data.as_deref().filter(|_| self.reveal),
        }
    }
}

/// Is there anything new? Keeps the cursor right when another file took the place.
fn look(reader: &mut Reader, cursor: &mut i64, seen: &mut Option<i64>) -> Result<bool, Error> {
    if reader.refresh()? == Freshness::Replaced {
        *cursor = reader.ask(queries::last_event_id)?.min(*cursor);
        *seen = None;
    }
    let version = Some(reader.ask(queries::data_version)?);
    let is_new = *seen != version;
    *seen = version;
    Ok(is_new)
}

/// Is anyone at the other end of standard output?
fn is_read() -> bool {
    let stdout = io::stdout();
    let mut ends = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let gone = |end: &PollFd<'_>| end.any().unwrap_or(false);
    poll(&mut ends, PollTimeout::ZERO).is_err() || !gone(&ends[0])
}

fn detail(data: Option<&str>) -> Map<String, Value> {
    let Some(Ok(Value::Object(mut data))) = data.map(serde_json::from_str) else {
        return Map::new();
    };
    data.retain(|key, value| PLAIN.contains(&key.as_str()) && !value.is_object() && !value.is_array());
    data
}

fn line(shown: &Shown<'_>) -> String {
    let mut words = vec![
        shown.timestamp.unwrap_or("-").to_owned(),
        format!("#{}", shown.id),
        format!("{:16}", shown.event_type),
        format!("{:5}", shown.advisor_phone.as_deref().unwrap_or("-")),
        shown.message_type.unwrap_or("-").to_owned(),
    ];
    words.extend(shown.button_id.map(str::to_owned));
    let show = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    words.extend(shown.detail.iter().map(|(name, value)| format!("{name}={}", show(value))));
    words.extend(shown.event_data.map(str::to_owned));
    clean(&words.join("  ")) + "\n"
}
