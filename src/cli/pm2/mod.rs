//! pm2's words, for fingers and scripts that know them.
//!
//! Called by the name `pm2` (a link), dogwatch reads pm2's command line and answers in pm2's looks: its
//! tables, its status words, its exit codes 0 and 1. What happens underneath is dogwatch's own.
//!
//! Pure: [`args`] reads the command line, [`target`] finds the services that are meant, and [`list`], [`show`],
//! [`jlist`] and [`says`] turn what dogwatch knows into what pm2 would print. A service's id is its position in
//! the order of start that ecosystem.toml has, from 0: everything here takes services in that order.
//!
//! Not pure: [`run`] takes a command line through `known` (which services there are), `start`, `act` and `logs`,
//! which call what `dogwatch start`, `dogwatch logs` and so on are made of. `later` says what is not there yet.

use std::path::Path;

mod act;
pub mod args;
mod command;
pub mod jlist;
mod known;
mod later;
pub mod list;
mod logs;
pub mod says;
pub mod show;
mod start;
mod table;
pub mod target;
mod voice;
mod words;

pub use command::run;
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
