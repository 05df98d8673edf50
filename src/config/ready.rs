//! `ready`: when a started service may get work.

use std::time::Duration;

use super::keys;
use super::mistake::Kind;
use super::table::{Found, Value};
use crate::model::spec::Ready;

/// How long a service that announces its readiness may take, unless written.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// `ready = "notify"`, `{ notify = true, timeout = "30s" }` or `{ alive = "1s" }`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<Ready> {
    if value.value.is_str() {
        value.word(&["notify"], found)?;
        return Some(Ready::Notify { timeout: READY_TIMEOUT });
    }
    let example = "\"notify\" or { alive = \"1s\" }";
    let table = value.table("\"notify\" or a table", example, &keys::READY, found)?;
    let notify = table.get("notify");
    let alive = table.get("alive");
    let timeout = table.get("timeout");
    let wrong = |why, value: &Value<'_>, found: &mut Found| {
        let at = value.at.clone();
        found.note(value.span.clone(), Kind::Ready { at, why });
        None
    };
    match (notify, alive) {
        (Some(_), Some(alive)) => wrong("one of `notify` and `alive` is enough", &alive, found),
        // An unknown way to be ready has been noted already; "neither of the known ones" would be a second
        // mistake about the same text.
        (None, None)
            if value.value.as_table().is_some_and(|table| !table.is_empty()) && timeout.is_none() =>
        {
            None
        }
        (None, None) => wrong("it does not say how", value, found),
        (None, Some(alive)) => {
            if let Some(timeout) = timeout {
                return wrong("only `notify` has a timeout", &timeout, found);
            }
            let after = alive.duration(found)?.into_inner();
            Some(Ready::Alive { after })
        }
        (Some(notify), None) => {
            if !notify.yes_or_no(found)? {
                return wrong("`notify = false` says nothing", &notify, found);
            }
            let timeout = match timeout {
                Some(timeout) => timeout.duration_above_zero(found)?,
                None => READY_TIMEOUT,
            };
            Some(Ready::Notify { timeout })
        }
    }
}
