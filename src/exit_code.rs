//! Every exit code of `dogwatch`. As `pm2` it knows only 0 and 1, as pm2 does.

/// Done.
pub const OK: u8 = 0;
/// It was tried and did not work: a service did not come up, a file could not be written.
pub const FAILED: u8 = 1;
/// The command line was not understood.
pub const USAGE: u8 = 2;
/// ecosystem.toml has mistakes, or there is none.
pub const CONFIG: u8 = 3;
/// dogwatch does not run here, or does not answer.
pub const NOT_RUNNING: u8 = 4;
/// There is no service of that name.
pub const UNKNOWN_SERVICE: u8 = 5;
/// Another control plane, warden or keeper holds the lock.
pub const LOCKED: u8 = 6;
/// Stopped, but the goal could not be written: a reboot would start it again.
pub const NOT_PERSISTED: u8 = 7;
/// The control plane ended because `dogwatch down` asked for it; systemd does not restart it then.
pub const DOWN: u8 = 8;

/// `dogwatch doctor`: something may go wrong.
pub const WARNINGS: u8 = 1;
/// `dogwatch doctor`: something is wrong.
pub const ERRORS: u8 = 2;
