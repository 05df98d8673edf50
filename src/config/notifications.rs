//! `[notifications]`: what to run when something is not as it should be.

use toml::Spanned;

use super::mistake::{At, Kind};
use super::table::{Found, Value};
use super::{command, keys};

/// Reads the table: a program and its arguments.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<(At, Vec<Spanned<String>>)> {
    let table = value.table("a table", "[notifications]", &keys::NOTIFICATIONS, found)?;
    let Some(key) = table.get("command") else {
        if !table.misspells("command", &keys::NOTIFICATIONS) {
            let help = "add command = [\"logger\", \"-t\", \"dogwatch\"]";
            found.note(
                value.span.clone(),
                Kind::Missing { key: "command", place: table.place.clone(), help: help.to_owned() },
            );
        }
        return None;
    };
    let words = command::words(&key, found)?;
    Some((key.at.clone(), words))
}
