//! `[sinks.NAME]`, and the names of sinks that a service gives.

use std::collections::BTreeMap;

use toml::Spanned;

use super::file::{Entry, File};
use super::keys::{self, Keys};
use super::mistake::{At, Kind, Place};
use super::suggest::did_you_mean;
use super::table::{Found, Table, Value, entries};
use crate::model::name::ServiceName;
use crate::model::sink::{Address, FILE, Facility, Format, Route, Sink, Target, UDP_MESSAGE, unix_path};

/// The shortest message that a syslog receiver can be sent, bytes: what RFC 5424 wants every one to take.
const SHORTEST: u64 = 480;
/// The longest, bytes: a datagram takes no more.
const LONGEST: u64 = 64 << 10;

/// The names that stand in `sinks`.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The key.
    at: At,
    names: Vec<Spanned<String>>,
}

impl Names {
    /// Whether the log file is one of them.
    pub fn have_file(&self) -> bool {
        self.names.iter().any(|name| name.get_ref() == FILE)
    }
}

/// Reads `sinks = […]` of a service, or `log_sinks` of all.
pub(super) fn names(key: &Value<'_>, found: &mut Found) -> Option<Names> {
    let list = key.list("an array of names", "[\"file\", \"journald\"]", false, found)?;
    if list.is_empty() {
        let help = "write [\"file\"], or leave it out";
        found.note(key.span.clone(), Kind::Empty { at: key.at.clone(), help });
        return None;
    }
    let names = list.iter().filter_map(|value| value.text("\"file\"", found)).collect();
    Some(Names { at: key.at.clone(), names })
}

/// Reads all of `[sinks]`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Vec<Sink> {
    let Some(table) = value.value.as_table() else {
        value.wrong_type("a table of tables", "write [sinks.NAME]".to_owned(), found);
        return Vec::new();
    };
    let place = Place::default().inner("sinks");
    let sinks = entries(table, &place).into_iter().filter_map(|(name, value)| sink(&name, &value, found));
    sinks.collect()
}

fn sink(name: &Spanned<&str>, value: &Value<'_>, found: &mut Found) -> Option<Sink> {
    let text = *name.get_ref();
    if let Err(why) = ServiceName::new(text) {
        let kind = Kind::Name { at: value.at.clone(), what: "sink", why };
        found.note(name.span(), kind);
        return None;
    }
    if text == FILE {
        let why = "the log file is no sink to be described; its settings stand in `log` of each service";
        found.note(name.span(), Kind::Grammar { at: value.at.clone(), why: why.to_owned() });
        return None;
    }
    // Which keys there are depends on the kind, so that is looked at first.
    let implied = Target::KINDS.into_iter().find(|kind| *kind == text);
    let written = value.value.as_table().and_then(|table| table.get("kind")?.get_ref().as_str());
    let kind = Target::KINDS.into_iter().find(|kind| Some(*kind) == written).or(implied);
    let header = format!("[sinks.{text}]");
    let mut table = value.table("a table", &header, keys_of(kind), found)?;
    table.span = name.span();
    if let Some(key) = table.get("kind") {
        key.word(&Target::KINDS, found)?;
    }
    let Some(kind) = kind else {
        let help = "add kind = \"syslog\", \"journald\" or \"stdout\"".to_owned();
        found.note(name.span(), Kind::Missing { key: "kind", place: table.place.clone(), help });
        return None;
    };
    let to = match Target::of_kind(kind)? {
        Target::Journald { address } => Target::Journald {
            address: parsed(&table, "address", "\"unix:/PATH\"", unix_path, found)?.unwrap_or(address),
        },
        Target::Syslog { address, facility, max_message } => {
            let example = "\"udp://127.0.0.1:514\"";
            // All are read before any is given up, so that all mistakes are found.
            let address = parsed(&table, "address", example, Address::parse, found)
                .map(|written| written.unwrap_or(address));
            let facility = match table.get("facility") {
                Some(key) => key.word(&Facility::WORDS, found).map(Facility::at),
                None => Some(facility),
            };
            let written = table.get("max_message").map(|key| message_size(&key, found));
            let address = address?;
            let usual = if matches!(address, Address::Udp(_)) { UDP_MESSAGE } else { max_message };
            let (facility, max_message) = (facility?, written.unwrap_or(Some(usual))?);
            Target::Syslog { address, facility, max_message }
        }
        Target::Stdout { format } => {
            let format = match table.get("format") {
                Some(key) => Format::WORDS[key.word(&Format::WORDS.map(|(word, _)| word), found)?].1,
                None => format,
            };
            Target::Stdout { format }
        }
    };
    Some(Sink { name: text.to_owned(), to })
}

fn keys_of(kind: Option<&str>) -> &'static Keys {
    match kind {
        Some("journald") => &keys::SINK_JOURNALD,
        Some("stdout") => &keys::SINK_STDOUT,
        Some(_) => &keys::SINK_SYSLOG,
        None => &keys::SINK,
    }
}

/// A text with a grammar of its own: outer none, if it is wrong; inner none, if it is not there.
fn parsed<T>(
    table: &Table<'_>,
    key: &'static str,
    example: &str,
    parse: fn(&str) -> Result<T, String>,
    found: &mut Found,
) -> Option<Option<T>> {
    let Some(key) = table.get(key) else { return Some(None) };
    match parse(key.text(example, found)?.get_ref()) {
        Ok(value) => Some(Some(value)),
        Err(why) => {
            found.note(key.span.clone(), Kind::Grammar { at: key.at.clone(), why });
            None
        }
    }
}

fn message_size(key: &Value<'_>, found: &mut Found) -> Option<u64> {
    let size = key.size(found)?.into_inner();
    let fits = (SHORTEST..=LONGEST).contains(&size);
    if !fits {
        let (expected, help) = ("from 480B to 64KiB", "2KiB is what every receiver should take over UDP");
        found.note(key.span.clone(), Kind::OutOfRange { at: key.at.clone(), expected, help });
    }
    fits.then_some(size)
}

/// Every sink of the file, and those that need no table, with the services that name them.
pub(super) fn routes(file: &File, found: &mut Found) -> Vec<Route> {
    let mut routes: Vec<Route> =
        file.sinks.iter().map(|sink| Route { sink: sink.clone(), services: Vec::new() }).collect();
    let mut told = BTreeMap::new();
    for entry in &file.services {
        let Some(names) = of(entry, file) else { continue };
        for name in names.names.iter().filter(|name| name.get_ref() != FILE) {
            let text = name.get_ref().as_str();
            if !routes.iter().any(|route| route.sink.name == text) {
                match Target::of_kind(text) {
                    // One with a mistake in its table is there all the same.
                    _ if file.sink_names.iter().any(|written| written == text) => continue,
                    Some(to) => {
                        let sink = Sink { name: text.to_owned(), to };
                        routes.push(Route { sink, services: Vec::new() });
                    }
                    // What stands in `log_sinks` is one mistake, not one of each service.
                    None if told.insert((name.span().start, text.to_owned()), ()).is_some() => continue,
                    None => {
                        dangling(names, name, file, found);
                        continue;
                    }
                }
            }
            let route = routes.iter_mut().find(|route| route.sink.name == text);
            let route = route.expect("it has just been added, if it was not there");
            let service = entry.name.get_ref();
            if !route.services.contains(service) {
                route.services.push(service.clone());
            }
        }
    }
    routes
}

/// The sinks of a service.
pub(super) fn of<'a>(entry: &'a Entry, file: &'a File) -> Option<&'a Names> {
    entry.log.sinks.as_ref().or(file.log_sinks.as_ref())
}

fn dangling(names: &Names, name: &Spanned<String>, file: &File, found: &mut Found) {
    let written = file.sink_names.iter().map(String::as_str);
    let known: Vec<&str> = std::iter::once(FILE).chain(Target::KINDS).chain(written).collect();
    let kind = Kind::Dangling {
        at: names.at.clone(),
        what: "sink",
        name: name.get_ref().escape_debug().to_string(),
        help: did_you_mean(name.get_ref(), "sink", &known),
    };
    found.note(name.span(), kind);
}
