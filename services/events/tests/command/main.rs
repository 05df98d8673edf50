//! The command `events` as its users run it: the real program, real files, and others who write meanwhile.

mod backup;
mod check;
mod failures;
mod place;
mod repair;
mod restore;
mod shown;
mod upkeep;
