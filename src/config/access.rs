//! `dogwatch_access`: what a service may know of dogwatch.

use super::table::{Found, Value};
use crate::model::spec::Access;

/// Reads `dogwatch_access`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<Access> {
    const WORDS: [(&str, Access); 2] = [("view", Access::View), ("none", Access::None)];
    let word = value.word(&WORDS.map(|(word, _)| word), found)?;
    Some(WORDS[word].1)
}
