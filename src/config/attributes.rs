//! What a service's processes are born with: `group`, `umask`, `nice`, `ionice`, `cpus`, `no_new_privileges`,
//! `limits`, `writable`.

use std::path::PathBuf;

use super::keys;
use super::mistake::Kind;
use super::table::{Found, Table, Value};
use crate::model::attributes::{Attributes, IoClass};
use crate::model::units::parse_size;

/// Processors that can be named.
const MOST_CPUS: u32 = 1024;
/// Fewer open files than this let no program start: three are its standard streams.
const LEAST_FILES: u32 = 4;
const COUNT_HELP: &str = "write a number, like 4096";
/// RLIM_INFINITY of the kernel.
const UNLIMITED: u64 = u64::MAX;

/// Reads them from a service's table.
pub(super) fn read(table: &Table<'_>, found: &mut Found) -> Attributes {
    let limits =
        table.get("limits").and_then(|key| key.table("a table", "{ nofile = 4096 }", &keys::LIMITS, found));
    let limit = |name| limits.as_ref().and_then(|limits| limits.get(name));
    let nofile = limit("nofile").and_then(|key| nofile(&key, found));
    let nproc = limit("nproc").and_then(|key| key.count(COUNT_HELP, found)).map(u64::from);
    let core = limit("core").and_then(|key| core(&key, found));
    Attributes {
        group: table.get("group").and_then(|key| group(&key, found)),
        umask: table.get("umask").and_then(|key| umask(&key, found)),
        nice: table.get("nice").and_then(|key| nice(&key, found)),
        ionice: table.get("ionice").and_then(|key| ionice(&key, found)),
        cpus: table.get("cpus").and_then(|key| cpus(&key, found)).unwrap_or_default(),
        no_new_privileges: table
            .get("no_new_privileges")
            .and_then(|key| key.yes_or_no(found))
            .unwrap_or_default(),
        nofile,
        nproc,
        core,
        writable: table.get("writable").and_then(|key| writable(&key, found)),
    }
}

fn writable(key: &Value<'_>, found: &mut Found) -> Option<Vec<PathBuf>> {
    let paths = key.list("an array of paths", "[\"data\"]", false, found)?;
    let paths = paths.iter().map(|path| Some(path.path("\"data\"", found)?.into_inner().into()));
    paths.collect()
}

fn refuse<T>(key: &Value<'_>, expected: &'static str, help: &'static str, found: &mut Found) -> Option<T> {
    found.note(key.span.clone(), Kind::OutOfRange { at: key.at.clone(), expected, help });
    None
}

fn group(key: &Value<'_>, found: &mut Found) -> Option<String> {
    let group = key.any_text(found)?.into_inner();
    if group.is_empty() {
        let kind = Kind::Empty {
            at: key.at.clone(),
            help: "write a group's name or number, or leave it out for the user's",
        };
        found.note(key.span.clone(), kind);
        return None;
    }
    Some(group)
}

/// Octal, as umask(1) takes it; a bare number would be read as decimal.
fn umask(key: &Value<'_>, found: &mut Found) -> Option<u32> {
    let text = key.text("\"027\"", found)?;
    match u32::from_str_radix(text.get_ref(), 8) {
        Ok(mask) if mask <= 0o777 && !text.get_ref().starts_with('+') => Some(mask),
        _ => refuse(
            key,
            "an octal number from \"000\" to \"777\"",
            "like \"027\": the group may read, others nothing",
            found,
        ),
    }
}

fn nice(key: &Value<'_>, found: &mut Found) -> Option<i32> {
    let number =
        key.value.as_integer().and_then(|number| i32::from_str_radix(number.as_str(), number.radix()).ok());
    match number {
        Some(nice @ -20..=19) => Some(nice),
        _ => refuse(
            key,
            "a whole number from -20 to 19",
            "-20 comes first, 19 last; dogwatch itself has 0",
            found,
        ),
    }
}

/// `"idle"`, `"best-effort"`, `"best-effort:7"`, `"realtime:0"`.
fn ionice(key: &Value<'_>, found: &mut Found) -> Option<IoClass> {
    const USUAL_LEVEL: u8 = 4;
    let text = key.text("\"idle\"", found)?;
    let (class, level) = match text.get_ref().split_once(':') {
        Some((class, level)) => (class, level.parse().ok().filter(|level| *level <= 7)),
        None => (text.get_ref().as_str(), Some(USUAL_LEVEL)),
    };
    match (class, level) {
        ("idle", Some(_)) if !text.get_ref().contains(':') => Some(IoClass::Idle),
        ("best-effort", Some(level)) => Some(IoClass::BestEffort(level)),
        ("realtime", Some(level)) => Some(IoClass::Realtime(level)),
        _ => refuse(
            key,
            "\"idle\", \"best-effort:0\" to \"best-effort:7\", or \"realtime:0\" to \"realtime:7\"",
            "0 comes first in its class",
            found,
        ),
    }
}

fn nofile(key: &Value<'_>, found: &mut Found) -> Option<u64> {
    let most = key.count(COUNT_HELP, found)?;
    if most < LEAST_FILES {
        return refuse(
            key,
            "at least 4",
            "three are its standard streams, and a program opens more to start",
            found,
        );
    }
    Some(u64::from(most))
}

/// `"0-2,5"`, as taskset(1) takes it.
fn cpus(key: &Value<'_>, found: &mut Found) -> Option<Vec<u32>> {
    let text = key.text("\"0-2,5\"", found)?;
    let list = cpu_list(text.get_ref());
    list.or_else(|| {
        refuse(key, "a list of processors below 1024", "like \"0\", \"0-2\" or \"0,2\"; see: nproc", found)
    })
}

/// A list of processors as taskset(1) takes it and sysfs gives it; none if it is not one.
pub fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let number =
        |text: &str| text.parse::<u32>().ok().filter(|cpu| *cpu < MOST_CPUS && !text.starts_with('+'));
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first.trim())?, number(last.trim())?);
        if first > last {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

fn core(key: &Value<'_>, found: &mut Found) -> Option<u64> {
    match key.text("\"0B\"", found)?.get_ref().as_str() {
        "unlimited" => Some(UNLIMITED),
        size => match parse_size(size) {
            Ok(size) => Some(size),
            Err(_) => refuse(key, "a size with its unit, or \"unlimited\"", "\"0B\": no core files", found),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::cpu_list;

    #[test]
    fn lists_of_processors() {
        assert_eq!(cpu_list("0-2, 5,2"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list("7"), Some(vec![7]));
        for bad in ["", "2-1", "a", "1024", "0-1024", "-1", "1,", "+1", "0-1-2"] {
            assert_eq!(cpu_list(bad), None, "{bad}");
        }
    }
}
