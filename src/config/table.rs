//! Reading tables and values of a TOML document, with every mistake noted at its place.
//!
//! A getter answers `None` when the key is absent or when its value was refused; in the second case the
//! mistake has been noted, so no caller has to tell the two apart.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Keys;
use super::mistake::{At, Kind, Mistake, Place};
use super::suggest;
use crate::model::units::{UnitError, parse_duration, parse_size};

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Found(pub Vec<Mistake>);

impl Found {
    /// Notes a mistake at `span`.
    pub fn note(&mut self, span: Range<usize>, kind: Kind) {
        self.0.push(Mistake { span: Some(span), part: None, kind });
    }

    /// Notes a mistake that is about `part` of `span`.
    pub fn note_part(&mut self, span: Range<usize>, part: String, kind: Kind) {
        self.0.push(Mistake { span: Some(span), part: Some(part), kind });
    }

    /// Notes a mistake about the file as a whole.
    pub fn note_file(&mut self, kind: Kind) {
        self.0.push(Mistake { span: None, part: None, kind });
    }
}

/// A table whose keys are known.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// Its path.
    pub place: Place,
    /// Where its name stands.
    pub span: Range<usize>,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Notes every key that is not one of `keys`.
    pub fn new(
        entries: &'a DeTable<'a>,
        place: Place,
        span: Range<usize>,
        keys: &Keys,
        found: &mut Found,
    ) -> Table<'a> {
        for (key, _) in entries.iter() {
            let name = key.get_ref().as_ref();
            if keys.accepted.contains(&name) {
                continue;
            }
            let at = At { key: name.to_owned(), place: place.clone() };
            let kind = match keys.later.contains(&name) {
                true => Kind::NotYet(at),
                false => Kind::UnknownKey { at, help: keys.help(name) },
            };
            found.note(key.span(), kind);
        }
        Table { place, span, entries }
    }

    /// Whether `key` is absent only because somebody misspelt it, which has been noted already.
    pub fn misspells(&self, key: &str, keys: &Keys) -> bool {
        let written = self.entries.keys().map(|key| key.get_ref().as_ref());
        written
            .filter(|name: &&str| !keys.accepted.contains(name))
            .any(|name| suggest::nearest(name, keys.accepted.iter().copied()) == Some(key))
    }

    /// The value of a key.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.entries.get(key).map(|value| Value {
            at: At { key: key.to_owned(), place: self.place.clone() },
            span: value.span(),
            value: value.get_ref(),
        })
    }
}

/// Every entry of a table whose keys are names that the operator chose, in the order of the file.
pub(super) fn entries<'a>(table: &'a DeTable<'a>, place: &Place) -> Vec<(Spanned<&'a str>, Value<'a>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().as_ref();
            let value = Value {
                at: At { key: name.to_owned(), place: place.clone() },
                span: value.span(),
                value: value.get_ref(),
            };
            (Spanned::new(key.span(), name), value)
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// One value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    /// Its key.
    pub at: At,
    /// Its bytes.
    pub span: Range<usize>,
    /// What it is.
    pub value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// Notes that it is of the wrong type.
    pub fn wrong_type(&self, expected: &'static str, help: String, found: &mut Found) {
        let kind = Kind::WrongType { at: self.at.clone(), expected, found: type_in_words(self.value), help };
        found.note(self.span.clone(), kind);
    }

    /// A string; `example` is a good one.
    pub fn text(&self, example: &str, found: &mut Found) -> Option<Spanned<String>> {
        self.text_or(found, |_| format!("write a string, like {example}"))
    }

    /// A string that may say anything, so that a number lacks only its quotes.
    pub fn any_text(&self, found: &mut Found) -> Option<Spanned<String>> {
        self.text_or(found, |value| match as_written(value) {
            Some(written) => format!("write \"{written}\""),
            None => "write a string".to_owned(),
        })
    }

    fn text_or(
        &self,
        found: &mut Found,
        help: impl FnOnce(&DeValue<'_>) -> String,
    ) -> Option<Spanned<String>> {
        let Some(text) = self.value.as_str() else {
            self.wrong_type("a string", help(self.value), found);
            return None;
        };
        if text.contains('\0') {
            found.note(self.span.clone(), Kind::Nul(self.at.clone()));
            return None;
        }
        Some(Spanned::new(self.span.clone(), text.to_owned()))
    }

    /// A string that is the path of something.
    pub fn path(&self, example: &str, found: &mut Found) -> Option<Spanned<String>> {
        let path = self.text(example, found)?;
        let text = path.get_ref();
        let at = self.at.clone();
        let kind = if text.is_empty() {
            Kind::Empty { at, help: "write a path; relative ones begin at this file's folder" }
        } else if text.contains("${") {
            Kind::VariableInPath { at }
        } else if text == "~" || text.starts_with("~/") {
            Kind::Tilde { at }
        } else {
            return Some(path);
        };
        found.note(self.span.clone(), kind);
        None
    }

    /// `true` or `false`.
    pub fn yes_or_no(&self, found: &mut Found) -> Option<bool> {
        let answer = self.value.as_bool();
        if answer.is_none() {
            let help = match self.value.as_str() {
                Some(text @ ("true" | "false")) => format!("write {text} without quotes"),
                _ => "write true or false".to_owned(),
            };
            self.wrong_type("true or false", help, found);
        }
        answer
    }

    /// A whole number, 0 or more; `help` says which ones are usual.
    pub fn count(&self, help: &'static str, found: &mut Found) -> Option<u32> {
        let Some(number) = self.value.as_integer() else {
            let help = match self.value.as_str().map(str::parse::<u32>) {
                Some(Ok(number)) => format!("write {number} without quotes"),
                _ => help.to_owned(),
            };
            let found_type = match self.value {
                DeValue::Float(_) => "a number with a point",
                other => type_in_words(other),
            };
            let at = self.at.clone();
            let kind = Kind::WrongType { at, expected: "a whole number", found: found_type, help };
            found.note(self.span.clone(), kind);
            return None;
        };
        let count = u32::from_str_radix(number.as_str(), number.radix()).ok();
        if count.is_none() {
            let kind = Kind::OutOfRange {
                at: self.at.clone(),
                expected: "a whole number from 0 to 4294967295",
                help,
            };
            found.note(self.span.clone(), kind);
        }
        count
    }

    /// A number with a unit of time.
    pub fn duration(&self, found: &mut Found) -> Option<Spanned<Duration>> {
        self.with_unit("a duration with its unit", "s", "\"10s\"", parse_duration, found)
    }

    /// A number with a unit of size.
    pub fn size(&self, found: &mut Found) -> Option<Spanned<u64>> {
        self.with_unit("a size with its unit", "M", "\"300M\"", parse_size, found)
    }

    /// A size of at least one byte.
    pub fn size_above_zero(&self, found: &mut Found) -> Option<u64> {
        let size = self.size(found)?.into_inner();
        (size > 0).then_some(size).or_else(|| self.zero(found))
    }

    /// A duration that ends later than it begins.
    pub fn duration_above_zero(&self, found: &mut Found) -> Option<Duration> {
        let duration = self.duration(found)?.into_inner();
        (!duration.is_zero()).then_some(duration).or_else(|| self.zero(found))
    }

    fn zero<T>(&self, found: &mut Found) -> Option<T> {
        let kind = Kind::OutOfRange {
            at: self.at.clone(),
            expected: "more than zero",
            help: "leave it out for the default",
        };
        found.note(self.span.clone(), kind);
        None
    }

    fn with_unit<T>(
        &self,
        expected: &'static str,
        unit: &str,
        example: &str,
        parse: fn(&str) -> Result<T, UnitError>,
        found: &mut Found,
    ) -> Option<Spanned<T>> {
        let Some(text) = self.value.as_str() else {
            let help = match as_written(self.value) {
                Some(number) if parse(&format!("{number}{unit}")).is_ok() => {
                    format!("did you mean \"{number}{unit}\"?")
                }
                _ => format!("write a number with a unit, like {example}"),
            };
            self.wrong_type(expected, help, found);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(Spanned::new(self.span.clone(), value)),
            Err(why) => {
                let at = self.at.clone();
                found.note(self.span.clone(), Kind::Unit { at, why });
                None
            }
        }
    }

    /// One of `words`, as its position among them.
    pub fn word(&self, words: &[&str], found: &mut Found) -> Option<usize> {
        let example = format!("\"{}\"", words.first().unwrap_or(&""));
        let text = self.text(&example, found)?;
        let position = words.iter().position(|word| word == text.get_ref());
        if position.is_none() {
            let kind = Kind::NotAWord {
                at: self.at.clone(),
                value: text.get_ref().clone(),
                help: suggest::did_you_mean(text.get_ref(), "word", words),
            };
            found.note(self.span.clone(), kind);
        }
        position
    }

    /// The elements of an array; a string is accepted as an array of one if `single`.
    pub fn list(
        &self,
        expected: &'static str,
        example: &str,
        single: bool,
        found: &mut Found,
    ) -> Option<Vec<Value<'a>>> {
        let element = |span: Range<usize>, value: &'a DeValue<'a>| Value { at: self.at.clone(), span, value };
        match self.value {
            DeValue::Array(list) => {
                Some(list.iter().map(|value| element(value.span(), value.get_ref())).collect())
            }
            DeValue::String(_) if single => Some(vec![self.clone()]),
            DeValue::String(text) => {
                let help = format!("write [{:?}]", text.as_ref());
                self.wrong_type(expected, help, found);
                None
            }
            _ => {
                self.wrong_type(expected, format!("write {example}"), found);
                None
            }
        }
    }

    /// A table with these keys.
    pub fn table(
        &self,
        expected: &'static str,
        example: &str,
        keys: &Keys,
        found: &mut Found,
    ) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else {
            self.wrong_type(expected, format!("write {example}"), found);
            return None;
        };
        let place = self.at.place.inner(&self.at.key);
        Some(Table::new(entries, place, self.span.clone(), keys, found))
    }
}

/// A number or a boolean as it stands in the file, to be shown in quotes.
fn as_written(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(answer) => Some(answer.to_string()),
        DeValue::String(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn type_in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
