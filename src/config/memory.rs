//! `memory`: the limit of the process tree.

use super::keys;
use super::mistake::Kind;
use super::table::{Found, Value};
use crate::model::spec::MemoryLimit;
use crate::model::units::show_size;

/// `memory = "300M"` or `{ limit = "300M", max = "400M" }`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<MemoryLimit> {
    let (limit, max) = if value.value.is_table() {
        let table = value.table("a size or a table", "", &keys::MEMORY, found)?;
        let max_key = table.get("max");
        let max = max_key.as_ref().and_then(|max| max.size(found));
        let Some(limit) = table.get("limit") else {
            if table.misspells("limit", &keys::MEMORY) {
                return None;
            }
            let kind = Kind::Missing {
                key: "limit",
                place: table.place.clone(),
                help: "add limit = \"300M\"".to_owned(),
            };
            found.note(value.span.clone(), kind);
            return None;
        };
        (limit.size_above_zero(found)?, max_key.zip(max))
    } else {
        (value.size_above_zero(found)?, None)
    };
    if let Some((key, max)) = &max
        && *max.get_ref() < limit
    {
        let kind = Kind::MaxBelowLimit { at: key.at.clone(), limit: show_size(limit) };
        found.note(max.span(), kind);
        return None;
    }
    let max = max.map_or(limit.saturating_add(limit / 4), |(_, max)| max.into_inner());
    Some(MemoryLimit { limit, max })
}
