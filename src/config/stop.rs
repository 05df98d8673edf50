//! `stop`: how a service is asked to end, and how long it may take.

use super::keys;
use super::mistake::Kind;
use super::suggest;
use super::table::{Found, Value};
use crate::model::signal::Signal;
use crate::model::spec::StopPolicy;

/// `stop = { signal, timeout }`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<StopPolicy> {
    let example = "{ signal = \"SIGTERM\", timeout = \"10s\" }";
    let table = value.table("a table", example, &keys::STOP, found)?;
    let mut stop = StopPolicy::default();
    if let Some(signal) = table.get("signal").and_then(|key| signal(&key, found)) {
        stop.signal = signal;
    }
    if let Some(timeout) = table.get("timeout").and_then(|key| key.duration(found)) {
        stop.timeout = timeout.into_inner();
    }
    Some(stop)
}

fn signal(key: &Value<'_>, found: &mut Found) -> Option<Signal> {
    let name = key.text("\"SIGTERM\"", found)?;
    match Signal::parse(name.get_ref()) {
        Some(Signal(19)) => {
            found.note(key.span.clone(), Kind::StopFreezes { at: key.at.clone() });
            None
        }
        Some(signal) => Some(signal),
        None => {
            let help = match suggest::nearest(name.get_ref(), Signal::names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write a signal's name, like \"SIGTERM\" or \"SIGINT\"".to_owned(),
            };
            let kind = Kind::NotAWord { at: key.at.clone(), value: name.into_inner(), help };
            found.note(key.span.clone(), kind);
            None
        }
    }
}
