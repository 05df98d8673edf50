//! `events info`

use std::process::ExitCode;

use clap::Args;
use events::upkeep::{Facts, facts};

use super::context::Context;
use super::failure::Outcome;
use super::output::pairs;
use super::units::show_size;

/// `info`.
#[derive(Debug, Args)]
#[command(after_help = "Example: events info --metrics")]
pub struct Info {
    /// Also the six totals of the last 30 days
    #[arg(long)]
    metrics: bool,
}

impl Info {
    pub fn run(&self, context: &Context) -> Outcome<ExitCode> {
        let facts =
            facts(&context.database, self.metrics).map_err(|error| context.failure("look at", &error))?;
        context.answer(&facts, text)
    }
}

fn text(facts: &Facts) -> String {
    let content = &facts.content;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![
        ("database", facts.database.display().to_string()),
        ("size", format!("{} + {} -wal", show_size(facts.bytes), show_size(facts.wal_bytes))),
        ("owner, mode", format!("{}, {}", facts.owner, facts.mode)),
        ("journal mode", facts.journal_mode.clone()),
        (
            "schema version",
            content
                .schema_version
                .map_or_else(|| "of the original".to_owned(), |version| version.to_string()),
        ),
        ("generation", or_none(&facts.generation)),
        ("oldest", or_none(&content.oldest)),
        ("newest", or_none(&content.newest)),
        ("events today", facts.events_today.to_string()),
        ("growth per day", growth(facts)),
    ];
    for table in &content.tables {
        lines.push((&table.name, format!("{} rows", table.rows)));
    }
    if let Some(metrics) = &facts.metrics {
        let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        lines.extend([
            ("button clicks", number(metrics.total_button_clicks)),
            ("text messages", number(metrics.total_text_messages)),
            ("deliveries", number(metrics.total_content_deliveries)),
            ("successful", number(metrics.successful_deliveries)),
            ("failed", number(metrics.failed_deliveries)),
            (
                "response time",
                metrics.avg_response_time.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s")),
            ),
        ]);
    }
    pairs(&lines)
}

fn growth(facts: &Facts) -> String {
    match (facts.events_per_day, facts.bytes_per_day) {
        (Some(events), Some(bytes)) => {
            let s = if events.round() == 1.0 { "" } else { "s" };
            format!("{events:.0} event{s}, about {}", show_size(bytes.max(0.0) as u64))
        }
        _ => "-".to_owned(),
    }
}
