//! Answers of the system that was replaced, in `answers/`, and whether ours look the same: the same keys, the
//! same kinds of values. Old code that reads them cannot tell the difference.
//!
//! | key of a file | |
//! |---|---|
//! | `request` or `frame` | what was asked, or the type of the frame |
//! | `service` | who answers |
//! | `answer` | an example; arrays and maps show one entry |
//! | `null` | where null may stand instead, and since when or why |
//! | `map` | objects whose keys are data |
//! | `optional` | keys that may be missing, and why |
//!
//! Paths are JSON pointers; `*` stands for every entry of an array or a map.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One file.
pub struct Recorded {
    /// The name of the file, without its end.
    pub name: String,
    file: Value,
}

/// All files, in the order of their names.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn all() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("answers");
    let mut all: Vec<Recorded> = fs::read_dir(folder)
        .expect("the recorded answers")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| Recorded {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            file: serde_json::from_slice(&fs::read(&path).expect("a readable file"))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// This one.
///
/// # Panics
/// When there is none.
#[must_use]
#[track_caller]
pub fn load(name: &str) -> Recorded {
    all()
        .into_iter()
        .find(|recorded| recorded.name == name)
        .unwrap_or_else(|| panic!("no answers/{name}.json"))
}

impl Recorded {
    /// What stands under this key of the file, if it is text.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<&str> {
        self.file[key].as_str()
    }

    /// Checks an answer.
    ///
    /// # Panics
    /// When it looks different; all differences are told.
    #[track_caller]
    pub fn check(&self, actual: &Value) {
        let differences = self.differences(actual);
        assert!(differences.is_empty(), "unlike answers/{}.json: {differences:#?}\n{actual:#}", self.name);
    }

    /// How an answer looks different.
    #[must_use]
    pub fn differences(&self, actual: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        self.compare("", &self.file["answer"], actual, &mut differences);
        differences
    }

    fn compare(&self, path: &str, example: &Value, actual: &Value, differences: &mut Vec<String>) {
        if actual.is_null() && !example.is_null() {
            if !self.lists("null", path) {
                differences.push(format!("{path}: null"));
            }
            return;
        }
        match (example, actual) {
            (Value::Object(example), Value::Object(actual)) if self.lists("map", path) => {
                let example = example.values().next().expect("a map shows one entry");
                for value in actual.values() {
                    self.compare(&format!("{path}/*"), example, value, differences);
                }
            }
            (Value::Object(example), Value::Object(actual)) => {
                for (key, value) in example {
                    let path = format!("{path}/{key}");
                    match actual.get(key) {
                        Some(actual) => self.compare(&path, value, actual, differences),
                        None if self.lists("optional", &path) => {}
                        None => differences.push(format!("{path}: missing")),
                    }
                }
                let added = actual.keys().filter(|key| !example.contains_key(*key));
                differences.extend(added.map(|key| format!("{path}/{key}: not in the original")));
            }
            (Value::Array(example), Value::Array(actual)) => {
                for value in actual {
                    let example = example.first().expect("an array shows one entry");
                    self.compare(&format!("{path}/*"), example, value, differences);
                }
            }
            (Value::String(example), Value::String(actual)) => {
                // A time stays a time of the same form.
                if is_time(example) && form(example) != form(actual) {
                    differences.push(format!("{path}: {actual:?} where {example:?} was"));
                }
            }
            _ if std::mem::discriminant(example) == std::mem::discriminant(actual) => {}
            _ => differences.push(format!("{path}: {actual} where {example} was")),
        }
    }

    fn lists(&self, key: &str, path: &str) -> bool {
        self.file[key].get(path).is_some()
    }
}

fn is_time(text: &str) -> bool {
    matches!(form(text).as_str(), "0000-00-00T00:00:00.000Z" | "0000-00-00 00:00:00")
}

/// Every digit as 0.
fn form(text: &str) -> String {
    text.chars().map(|sign| if sign.is_ascii_digit() { '0' } else { sign }).collect()
}
