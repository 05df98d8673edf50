//! `events growth`

use std::process::ExitCode;

use clap::Args;
use events::upkeep::{self, growth, record_growth};

use super::context::Context;
use super::failure::Outcome;
use super::output::table;
use super::units::{parse_size, show_size};

/// `growth`.
#[derive(Debug, Args)]
#[command(after_help = "\
Run it with --record once a day, or once a week; the last of a day counts.
Example: events growth --record --limit 2G")]
pub struct Growth {
    /// Note the sizes of today
    #[arg(long)]
    record: bool,
    /// The size that the database may have [default: all that is free on its disk]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    limit: Option<u64>,
}

impl Growth {
    pub fn run(self, context: &Context) -> Outcome<ExitCode> {
        if self.record {
            context.job("record the growth of", record_growth)?;
        }
        let growth =
            growth(&context.database, self.limit).map_err(|error| context.failure("look at", &error))?;
        context.answer(&growth, text)
    }
}

fn text(growth: &upkeep::Growth) -> String {
    let row = |day: &str, record: &upkeep::Record| {
        vec![day.to_owned(), show_size(record.bytes), record.events.to_string(), record.today.to_string()]
    };
    let history = growth.history.iter().map(|record| row(&record.day, record));
    let mut text = table(&["day", "size", "events", "that day"], history.chain([row("now", &growth.now)]));
    let room = show_size(growth.room_bytes);
    text.push_str(&match (growth.bytes_per_day, growth.days_left) {
        (Some(bytes), Some(days)) => {
            format!("grows {} a day; the room of {room} lasts {days:.0} days\n", show_size(bytes as u64))
        }
        (Some(_), None) => format!("does not grow; there is room for {room}\n"),
        (None, _) => {
            format!("room for {room}; how long it lasts is known after two recorded days: events growth --record\n")
        }
    });
    text
}
