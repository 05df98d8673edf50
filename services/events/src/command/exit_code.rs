//! Every exit code of `events`, for schedules that must know what to do next.

/// Done.
pub const OK: u8 = 0;
/// It was tried and did not work. Of `check`: warnings.
pub const FAILED: u8 = 1;
/// The command line was not understood. Of `check`: errors.
pub const USAGE: u8 = 2;
/// There is no database, or no backup, at the path.
pub const MISSING: u8 = 3;
/// Another process holds the database: try again later.
pub const LOCKED: u8 = 4;
/// The database or the backup is damaged, or another program's.
pub const DAMAGED: u8 = 5;
/// The disk has too little room. Of `optimize`: all but writing the file anew was done.
pub const NO_ROOM: u8 = 6;
/// And the number of the signal: it was stopped.
pub const STOPPED: u8 = 128;
