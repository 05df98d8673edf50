//! What is in the file: can it be opened, read and written, is it whole, is it ours, does anything come in?

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{Finding, command};
use crate::connection::{open_reader, open_writer};
use crate::error::Doing;
use crate::lock::Lock;
use crate::upkeep::examine::{Depth, missing_column, symptoms};
use crate::upkeep::facts::events_today;
use crate::upkeep::holders::holders;
use crate::upkeep::{Job, is_disk_full};
use crate::{Error, Trouble, schema};

const ACCESS: &str = "database-access";

pub(super) fn check(job: Job<'_>, full: bool) -> Vec<Finding> {
    let reader = match open_reader(job.database, job.patience).and_then(|reader| {
        missing_column(&reader)?;
        Ok(reader)
    }) {
        Ok(reader) => reader,
        Err(error) => return vec![failure(job, "read", &error)],
    };
    job.progress.stage("checking every page");
    let whole = whole(job, &reader, full);
    let is_whole = whole.is_none();
    let mut findings = vec![whole.unwrap_or_else(|| Finding::ok("database-corrupt", "every page is whole"))];
    // A write could make the damage worse.
    if is_whole {
        findings.push(match probe(job) {
            Ok(()) => Finding::ok(ACCESS, "it can be opened, read and written"),
            Err(error) => failure(job, "written", &error),
        });
    }
    findings.push(schema(job, &reader));
    findings.push(indexes(job, &reader));
    findings.push(today(&reader));
    findings
}

/// What is wrong with the pages, if anything is.
fn whole(job: Job<'_>, reader: &Connection, full: bool) -> Option<Finding> {
    let depth = if full { Depth::Full } else { Depth::Quick };
    let found = match symptoms(reader, depth, job.stop) {
        Ok(symptoms) if symptoms.is_empty() => return None,
        Ok(symptoms) => symptoms.join("; "),
        Err(error) => return Some(failure(job, "checked", &error)),
    };
    Some(corrupt(job, found))
}

fn corrupt(job: Job<'_>, found: String) -> Finding {
    let why = "events are lost or not written";
    let fix = format!("{}, or {}", command(job.database, "repair"), command(job.database, "restore BACKUP"));
    Finding::error("database-corrupt", found, why, fix)
}

/// Writes an event and takes it back, as the webhook would.
fn probe(job: Job<'_>) -> Result<(), Error> {
    const DOING: &str = "writing a trial event";
    let _lock = Lock::shared(job.database)?;
    let mut writer = open_writer(job.database, job.patience)?;
    let trial = writer.transaction_with_behavior(TransactionBehavior::Immediate).doing(DOING)?;
    trial
        .execute("INSERT INTO webhook_events (event_type, processed) VALUES ('trial', 0)", [])
        .doing(DOING)?;
    trial.rollback().doing(DOING)
}

/// Why the file cannot be used, in the words of its many ways.
fn failure(job: Job<'_>, done: &str, error: &Error) -> Finding {
    let found = format!("it cannot be {done}: {error}");
    let code = match error {
        Error::Sql(_, cause) => cause.sqlite_error_code(),
        _ => None,
    };
    let why = "events wait in the spool, or are not shown";
    match code {
        _ if is_disk_full(job.database, error) => {
            let fix = format!("df -h {}", super::word(crate::file::folder_of(job.database)));
            Finding::error(ACCESS, format!("{found}: the disk is full"), why, fix)
        }
        _ if error.trouble() == Trouble::Locked => {
            let holders = holders(job.database);
            let fix = match holders.is_empty() {
                true => "try again in a moment; fuser -v shows who has the file open".to_owned(),
                false => "end that process, if it should not write".to_owned(),
            };
            let held = holders.join(", ");
            let found = if held.is_empty() { found } else { format!("{found}; held by process {held}") };
            Finding::error("database-locked", found, why, fix)
        }
        Some(ErrorCode::NotADatabase) => corrupt(job, "it is not a database".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => corrupt(job, found),
        Some(ErrorCode::ReadOnly) => Finding::error(
            ACCESS,
            found,
            "the disk is read-only, or the file is another user's: events wait in the spool",
            format!("ls -l {0}* && findmnt -T {0}", super::word(job.database)),
        ),
        _ => Finding::error(ACCESS, found, why, command(job.database, "check --fix")),
    }
}

fn schema(job: Job<'_>, reader: &Connection) -> Finding {
    const CHECK: &str = "database-schema";
    let why = "the services do not find what they ask for";
    match (schema::version(reader), missing_column(reader)) {
        (Err(Error::Newer(version)), _) => Finding::error(
            CHECK,
            format!("version {version}, this program knows {}", schema::VERSION),
            "an older program reads it, but must not write it",
            "install the newer program",
        ),
        (Err(error), _) | (_, Err(error)) => Finding::error(CHECK, error.to_string(), why, "events info"),
        (_, Ok(Some(column))) => {
            let fix = command(job.database, "restore BACKUP");
            Finding::error(CHECK, format!("it has no column {column}"), why, fix)
        }
        (Ok(None), _) => Finding::warning(
            CHECK,
            "of the original system",
            "the indexes are missing, so queries are slow",
            "start any of the services, which brings it up to date",
        ),
        (Ok(Some(version)), _) => Finding::ok(CHECK, format!("version {version}")),
    }
}

fn indexes(job: Job<'_>, reader: &Connection) -> Finding {
    const CHECK: &str = "database-indexes";
    let is_there = |name: &&str| {
        reader
            .prepare("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?1")
            .and_then(|mut index| index.exists([name]))
            .unwrap_or(false)
    };
    let missing: Vec<&str> = schema::INDEXES.into_iter().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("all {}", schema::INDEXES.len()));
    }
    Finding::warning(
        CHECK,
        format!("missing: {}", missing.join(", ")),
        "the dashboard's queries read whole tables",
        command(job.database, "optimize"),
    )
}

fn today(reader: &Connection) -> Finding {
    const CHECK: &str = "events-today";
    match events_today(reader) {
        Ok(0) => Finding::warning(
            CHECK,
            "none",
            "the webhook may not be reached",
            "curl -s http://127.0.0.1:3000/health; send-test-event",
        ),
        Ok(count) => Finding::ok(CHECK, count.to_string()),
        Err(error) => Finding::error(CHECK, error.to_string(), "the dashboard shows nothing", "events info"),
    }
}
