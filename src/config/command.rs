//! `command` and `shell`: an argument vector, or one line for /bin/sh that asks for the shell by name.

use toml::Spanned;
use toml::de::DeValue;

use super::keys;
use super::mistake::{At, Kind};
use super::table::{Found, Table, Value};

/// What to run, as written.
#[derive(Debug)]
pub(super) enum Command {
    /// argv; variables in it are still to be expanded.
    Words(At, Vec<Spanned<String>>),
    /// A line for `/bin/sh -c`. The shell expands variables itself: dogwatch doing it first would turn a
    /// value with a quote or a semicolon in it into code.
    Shell(String),
}

const EXAMPLE: &str = "[\"program\", \"argument\"]";

/// Reads both keys of a service.
pub(super) fn read(service: &Table<'_>, found: &mut Found) -> Option<Command> {
    let shell_key = service.get("shell");
    let shell = shell_key.as_ref().and_then(|key| key.yes_or_no(found)) == Some(true);
    let Some(command) = service.get("command") else {
        if service.misspells("command", &keys::SERVICE) {
            return None;
        }
        let kind = Kind::Missing {
            key: "command",
            place: service.place.clone(),
            help: "add command = [\"./program\"]".to_owned(),
        };
        found.note(service.span.clone(), kind);
        return None;
    };
    match (command.value, shell_key) {
        (DeValue::String(_), _) if shell => line(&command, found),
        (DeValue::String(text), _) => {
            let kind = Kind::NoShell { at: command.at.clone(), help: without_shell(text) };
            found.note(command.span.clone(), kind);
            None
        }
        (DeValue::Array(_), Some(key)) if shell => {
            found.note(key.span.clone(), Kind::ShellArray { at: key.at.clone() });
            None
        }
        _ => Some(Command::Words(command.at.clone(), words(&command, found)?)),
    }
}

fn line(command: &Value<'_>, found: &mut Found) -> Option<Command> {
    let text = command.any_text(found)?;
    if text.get_ref().trim().is_empty() {
        let kind = Kind::Empty { at: command.at.clone(), help: "write what the shell shall run" };
        found.note(command.span.clone(), kind);
        return None;
    }
    Some(Command::Shell(text.into_inner()))
}

/// A program and its arguments.
pub(super) fn words(command: &Value<'_>, found: &mut Found) -> Option<Vec<Spanned<String>>> {
    let list = command.list("an array of strings", EXAMPLE, false, found)?;
    let mut words = Vec::with_capacity(list.len());
    for word in &list {
        words.push(word.any_text(found));
    }
    let no_program = Kind::Empty { at: command.at.clone(), help: "the first word is the program" };
    match words.first() {
        None => {
            found.note(command.span.clone(), no_program);
            return None;
        }
        Some(Some(program)) if program.get_ref().is_empty() => {
            found.note(program.span(), no_program);
            return None;
        }
        Some(_) => {}
    }
    words.into_iter().collect()
}

/// How to write a one-string command without a shell, if the string needs none.
fn without_shell(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@+% ".contains(c);
    let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
    match text.chars().all(plain) && !words.is_empty() {
        true => format!("write [{}], or add shell = true", words.join(", ")),
        false => "add shell = true, or write an array of words".to_owned(),
    }
}
