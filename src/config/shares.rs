//! `cpu_weight`, `io_weight`, `pids_max`: of a service, and of a compartment with its `memory`.

use super::mistake::Kind;
use super::table::{Found, Table};
use crate::model::shares::{Shares, Together};

/// Reads them from a service's or a compartment's table.
pub(super) fn read(table: &Table<'_>, found: &mut Found) -> Shares {
    let mut number = |key, expected, most| -> Option<u32> {
        let value = table.get(key)?;
        let number = value.count("write a number, like 100", found)?;
        if (1..=most).contains(&number) {
            return Some(number);
        }
        found.note(
            value.span.clone(),
            Kind::OutOfRange { at: value.at.clone(), expected, help: "the usual weight is 100" },
        );
        None
    };
    Shares {
        cpu_weight: number("cpu_weight", "a whole number from 1 to 10000", 10_000),
        io_weight: number("io_weight", "a whole number from 1 to 10000", 10_000),
        pids_max: number("pids_max", "1 or more", u32::MAX),
    }
}

/// Reads what a compartment's services have together.
pub(super) fn together(table: &Table<'_>, found: &mut Found) -> Together {
    let memory = table.get("memory").and_then(|key| key.size_above_zero(found));
    Together { memory, shares: read(table, found) }
}
