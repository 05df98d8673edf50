//! ecosystem.toml as written: every key read, every value of its type, nothing put together yet.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address;
use super::attributes;
use super::command::{self, Command};
use super::keys;
use super::log::{self, Log};
use super::mistake::{At, Kind, Place};
use super::restart::{self, Restart};
use super::table::{Found, Table, Value, entries};
use super::{Compartment, access, memory, notifications, ready, shares, sinks, stop};
use crate::model::attributes::Attributes;
use crate::model::name::ServiceName;
use crate::model::shares::{Shares, Together};
use crate::model::sink::Sink;
use crate::model::spec::{Access, MemoryLimit, Ready, StopPolicy};

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// `[dogwatch] listen`.
    pub listen: Option<Address>,
    /// `[dogwatch] log_dir`.
    pub log_dir: Option<String>,
    /// `[dogwatch] log_budget`.
    pub log_budget: Option<u64>,
    /// `[dogwatch] log_reserve`.
    pub log_reserve: Option<u64>,
    /// `[notifications] command`.
    pub notify: Option<(At, Vec<Spanned<String>>)>,
    /// `[dogwatch] log_sinks`.
    pub log_sinks: Option<sinks::Names>,
    /// `[sinks.NAME]`.
    pub sinks: Vec<Sink>,
    /// Every name that stands behind `sinks.`, good or not.
    pub sink_names: Vec<String>,
    /// `[compartments.NAME]`.
    pub compartments: Vec<(String, Compartment)>,
    /// `[services.NAME]`, in the order of the file.
    pub services: Vec<Entry>,
    /// Every name that stands behind `services.`, good or not.
    pub names: Vec<String>,
}

/// An address and its key.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// The key it stands under.
    pub at: At,
    /// Its bytes.
    pub span: Range<usize>,
    /// What it says.
    pub address: SocketAddr,
}

/// One `[services.NAME]`.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: Spanned<ServiceName>,
    pub place: Place,
    pub compartment: Option<Spanned<String>>,
    pub critical: Option<bool>,
    pub command: Option<Command>,
    pub cwd: Option<String>,
    pub env: Vec<(Spanned<String>, Spanned<String>)>,
    pub env_files: Vec<Spanned<String>>,
    pub user: Option<String>,
    pub attributes: Attributes,
    pub shares: Shares,
    pub after: Vec<Spanned<String>>,
    pub listen: Vec<Address>,
    pub ready: Option<Ready>,
    pub memory: Option<MemoryLimit>,
    pub restart: Restart,
    pub stop: StopPolicy,
    pub log: Log,
    pub access: Access,
}

/// Reads the document.
pub(super) fn read(document: &Spanned<DeTable<'_>>, found: &mut Found) -> File {
    let top = Place::default();
    let table = Table::new(document.get_ref(), top, document.span(), &keys::FILE, found);
    let mut file = File::default();
    if let Some(value) = table.get("dogwatch") {
        dogwatch(&value, &mut file, found);
    }
    file.notify = table.get("notifications").and_then(|value| notifications::read(&value, found));
    if let Some(value) = table.get("compartments") {
        compartments(&value, &mut file, found);
    }
    if let Some(value) = table.get("sinks") {
        let written = value.value.as_table().into_iter().flat_map(|table| table.keys());
        file.sink_names = written.map(|name| name.get_ref().as_ref().to_owned()).collect();
        file.sinks = sinks::read(&value, found);
    }
    match table.get("services") {
        Some(value) => services(&value, &mut file, found),
        // An unknown table has been noted: the services may well stand in there.
        None if !found.0.is_empty() => {}
        None => found.note_file(Kind::NoServices),
    }
    file
}

fn dogwatch(value: &Value<'_>, file: &mut File, found: &mut Found) {
    let Some(table) = value.table("a table", "[dogwatch]", &keys::DOGWATCH, found) else {
        return;
    };
    file.listen = table.get("listen").and_then(|key| {
        let text = key.text("\"127.0.0.1:9615\"", found)?;
        let address = address::read(&key, &text, found)?;
        if !address.ip().is_loopback() {
            let kind = Kind::NotLoopback { at: key.at.clone(), address: address.to_string() };
            found.note(key.span.clone(), kind);
        }
        Some(Address { at: key.at, span: key.span, address })
    });
    file.log_dir = path(&table, "log_dir", "\"logs\"", found);
    file.log_budget = table.get("log_budget").and_then(|key| log::budget(&key, found));
    file.log_sinks = table.get("log_sinks").and_then(|key| sinks::names(&key, found));
    file.log_reserve = table.get("log_reserve").and_then(|key| key.size_above_zero(found));
}

fn compartments(value: &Value<'_>, file: &mut File, found: &mut Found) {
    let Some(table) = named_tables(value, "[compartments.NAME]", found) else {
        return;
    };
    let place = Place::default().inner("compartments");
    for (name, value) in entries(table, &place) {
        let checked = self::name(&name, &value.at, "compartment", found);
        let Some(table) = value.table("a table", "[compartments.NAME]", &keys::COMPARTMENT, found) else {
            continue;
        };
        let critical = table.get("critical").and_then(|key| key.yes_or_no(found));
        let together = shares::together(&table, found);
        let log_budget = table.get("log_budget").and_then(|key| log::budget(&key, found));
        if let Some(name) = checked {
            let critical = critical.unwrap_or(false);
            let together = Together { shares: together.shares.or_critical(critical), ..together };
            file.compartments.push((name.to_string(), Compartment { critical, together, log_budget }));
        }
    }
}

fn services(value: &Value<'_>, file: &mut File, found: &mut Found) {
    let Some(table) = named_tables(value, "[services.NAME]", found) else {
        return;
    };
    if table.is_empty() {
        found.note_file(Kind::NoServices);
    }
    let place = Place::default().inner("services");
    for (name, value) in entries(table, &place) {
        file.names.push((*name.get_ref()).to_owned());
        let checked = self::name(&name, &value.at, "service", found);
        let entry = service(&name, checked, &value, found);
        file.services.extend(entry);
    }
}

fn named_tables<'a>(value: &Value<'a>, header: &'static str, found: &mut Found) -> Option<&'a DeTable<'a>> {
    let table = value.value.as_table();
    if table.is_none() {
        value.wrong_type("a table of tables", format!("write {header}"), found);
    }
    table
}

fn name(name: &Spanned<&str>, at: &At, what: &'static str, found: &mut Found) -> Option<ServiceName> {
    ServiceName::new(name.get_ref())
        .map_err(|why| {
            let at = at.clone();
            found.note(name.span(), Kind::Name { at, what, why });
        })
        .ok()
}

/// Reads all of a service, so that all its mistakes are found, even if its name is one of them.
fn service(
    written: &Spanned<&str>,
    name: Option<ServiceName>,
    value: &Value<'_>,
    found: &mut Found,
) -> Option<Entry> {
    let header = match keys::SERVICE.accepted.contains(written.get_ref()) {
        true => "the services' names between: [services.NAME]".to_owned(),
        false => format!("{}, with the keys below it", value.at.place.inner(written.get_ref())),
    };
    let mut table = value.table("a table", &header, &keys::SERVICE, found)?;
    // What is missing in a service is shown at its name, not under the whole table.
    table.span = written.span();
    let compartment = table.get("compartment").and_then(|key| key.text("\"production\"", found));
    let critical = table.get("critical").and_then(|key| key.yes_or_no(found));
    let command = command::read(&table, found);
    let cwd = path(&table, "cwd", "\"app\"", found);
    let user = table.get("user").and_then(|key| user(&key, found));
    let attributes = attributes::read(&table, found);
    let shares = shares::read(&table, found);
    let env = table.get("env").map(|key| env(&key, found)).unwrap_or_default();
    let env_files = strings(&table, "env_file", "\".env\"", true, found);
    let after = strings(&table, "after", "\"NAME\"", false, found);
    let listen = listen(&table, found);
    let ready = table.get("ready").and_then(|key| ready::read(&key, found));
    let memory = table.get("memory").and_then(|key| memory::read(&key, found));
    let restart = table.get("restart").and_then(|key| restart::read(&key, found));
    let stop = table.get("stop").and_then(|key| stop::read(&key, found));
    let log = table.get("log").and_then(|key| log::read(&key, found));
    let access = table.get("dogwatch_access").and_then(|key| access::read(&key, found));
    Some(Entry {
        name: Spanned::new(written.span(), name?),
        place: table.place.clone(),
        compartment,
        critical,
        command,
        cwd,
        env,
        env_files,
        user,
        attributes,
        shares,
        after,
        listen,
        ready,
        memory,
        restart: restart.unwrap_or_default(),
        stop: stop.unwrap_or_default(),
        log: log.unwrap_or_default(),
        access: access.unwrap_or_default(),
    })
}

fn path(table: &Table<'_>, key: &'static str, example: &str, found: &mut Found) -> Option<String> {
    let path = table.get(key)?.path(example, found)?;
    Some(path.into_inner())
}

fn user(key: &Value<'_>, found: &mut Found) -> Option<String> {
    let user = key.any_text(found)?;
    if user.get_ref().is_empty() {
        let kind = Kind::Empty {
            at: key.at.clone(),
            help: "write a user's name or number, or leave it out for dogwatch's own",
        };
        found.note(key.span.clone(), kind);
        return None;
    }
    Some(user.into_inner())
}

/// An array of strings; where they are paths, each must be one.
fn strings(
    table: &Table<'_>,
    key: &'static str,
    example: &str,
    paths: bool,
    found: &mut Found,
) -> Vec<Spanned<String>> {
    let expected = match paths {
        true => "a string or an array of strings",
        false => "an array of strings",
    };
    let Some(list) = table.get(key).and_then(|key| key.list(expected, &format!("[{example}]"), paths, found))
    else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|value| match paths {
            true => value.path(example, found),
            false => value.text(example, found),
        })
        .collect()
}

/// `env`: names and values in the order of the file, for a value may use those above it.
fn env(key: &Value<'_>, found: &mut Found) -> Vec<(Spanned<String>, Spanned<String>)> {
    let DeValue::Table(table) = key.value else {
        key.wrong_type("a table", "write { NAME = \"value\" }".to_owned(), found);
        return Vec::new();
    };
    let place = key.at.place.inner(&key.at.key);
    let mut pairs = Vec::new();
    for (name, value) in entries(table, &place) {
        let text = (*name.get_ref()).to_owned();
        if text.is_empty() {
            let kind = Kind::Empty { at: value.at.clone(), help: "a variable needs a name" };
            found.note(name.span(), kind);
        } else if let Some(bad) = text.chars().find(|c| matches!(c, '=' | '\0')) {
            let at = value.at.clone();
            found.note(name.span(), Kind::VariableName { at, bad });
        }
        if let Some(value) = value.any_text(found) {
            pairs.push((Spanned::new(name.span(), text), value));
        }
    }
    pairs
}

fn listen(table: &Table<'_>, found: &mut Found) -> Vec<Address> {
    let example = "[\"127.0.0.1:3000\"]";
    let list = table
        .get("listen")
        .and_then(|key| key.list("an array of addresses", example, false, found))
        .unwrap_or_default();
    let mut addresses = Vec::with_capacity(list.len());
    for value in list {
        let Some(text) = value.text("\"127.0.0.1:3000\"", found) else {
            continue;
        };
        if let Some(address) = address::read(&value, &text, found) {
            addresses.push(Address { at: value.at, span: value.span, address });
        }
    }
    addresses
}
