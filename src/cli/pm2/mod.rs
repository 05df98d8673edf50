//! pm2's words, for fingers and scripts that know them.
//!
//! Called by the name `pm2` (a link), dogwatch reads pm2's command line and answers in pm2's looks: its
//! tables, its status words, its exit codes 0 and 1. What happens underneath is dogwatch's own.
//!
//! This is the pure part: [`args`] reads the command line, [`target`] finds the services that are meant, and
//! [`list`], [`show`], [`jlist`] and [`says`] turn what dogwatch knows into what pm2 would print. A service's
//! id is its position in ecosystem.toml, from 0: everything here takes services in the order of the file.

use std::path::Path;

pub mod args;
pub mod jlist;
pub mod list;
pub mod says;
pub mod show;
mod table;
pub mod target;
mod words;

pub use words::status_word;

/// Whether a command line that begins with `argv0` is pm2's.
pub fn is_meant(argv0: &str) -> bool {
    Path::new(argv0).file_name().is_some_and(|name| name == "pm2")
}

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for pm2 in ["pm2", "/usr/local/bin/pm2", "./pm2"] {
            assert!(is_meant(pm2), "{pm2}");
        }
        for other in ["dogwatch", "/srv/pm2/dogwatch", "pm2-runtime", "", "/"] {
            assert!(!is_meant(other), "{other}");
        }
    }
}
