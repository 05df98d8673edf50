//! `log`: when a log is rotated and how many archives are kept.

use super::keys;
use super::table::{Found, Value};

/// `log = { rotate_size, keep, compress }`: what was written of it.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Rotate at this size.
    pub rotate_size: Option<u64>,
    /// Archives per stream.
    pub keep: Option<u32>,
    /// gzip them.
    pub compress: Option<bool>,
}

/// Reads `log`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<Log> {
    let example = "{ rotate_size = \"10MiB\", keep = 14 }";
    let table = value.table("a table", example, &keys::LOG, found)?;
    let rotate_size = table.get("rotate_size");
    Some(Log {
        rotate_size: rotate_size.and_then(|key| key.size_above_zero(found)),
        keep: table.get("keep").and_then(|key| key.count("a number of archives, like 14", found)),
        compress: table.get("compress").and_then(|key| key.yes_or_no(found)),
    })
}
