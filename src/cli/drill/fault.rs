//! The faults: what can be done, by name, and what it means in words. Nothing here does anything.

use std::fmt;
use std::time::Duration;

use crate::model::units::show_duration;

/// One of dogwatch's own processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The control plane.
    Control,
    /// The warden.
    Warden,
    /// The keeper of the service that is probed.
    Keeper,
    /// The keeper of another service.
    OtherKeeper,
}

/// How a neighbour misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    /// It ends at once, again and again.
    CrashLoop,
    /// It takes more and more memory.
    Leak,
    /// It writes as much as it can.
    Flood,
    /// It starts processes that start processes, again and again.
    ForkBomb,
    /// It keeps all processors busy.
    Spin,
    /// It writes more than its log folder takes.
    FullLogs,
}

/// Something that is done while the service is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: what requests are like without a fault.
    None,
    /// SIGKILL to one of dogwatch's own.
    Kill(Own),
    /// SIGSTOP to one of dogwatch's own.
    Stop(Own),
    /// A throw-away service misbehaves.
    Neighbour(Misdeed),
}

/// Every fault in the order in which they are done, with its name.
pub const ALL: [(Fault, &str); 14] = [
    (Fault::Kill(Own::Control), "kill-control"),
    (Fault::Kill(Own::Warden), "kill-warden"),
    (Fault::Kill(Own::Keeper), "kill-keeper"),
    (Fault::Kill(Own::OtherKeeper), "kill-other-keeper"),
    (Fault::Stop(Own::Control), "stop-control"),
    (Fault::Stop(Own::Warden), "stop-warden"),
    (Fault::Stop(Own::Keeper), "stop-keeper"),
    (Fault::Stop(Own::OtherKeeper), "stop-other-keeper"),
    (Fault::Neighbour(Misdeed::CrashLoop), "crash-loop"),
    (Fault::Neighbour(Misdeed::Leak), "leak"),
    (Fault::Neighbour(Misdeed::Flood), "flood"),
    (Fault::Neighbour(Misdeed::ForkBomb), "fork-bomb"),
    (Fault::Neighbour(Misdeed::Spin), "spin"),
    (Fault::Neighbour(Misdeed::FullLogs), "full-logs"),
];

/// The most memory that the leaking neighbour takes, MiB: four times its limit.
pub const LEAK_MOST_MIB: u64 = 256;
/// The limit of the leaking neighbour, MiB.
pub const LEAK_LIMIT_MIB: u64 = 64;
/// What the flooding neighbour writes in each second, MiB.
pub const FLOOD_MIB_A_SECOND: u64 = 16;
/// The most that it writes, MiB.
pub const FLOOD_MOST_MIB: u64 = 128;
/// Processes that the fork bomb tries to start.
pub const BOMB: u32 = 150;
/// Processes that the kernel lets it have, by RLIMIT_NPROC.
pub const BOMB_LIMIT: u32 = 100;
/// A process stands still for at most this time: dogwatch ends the same process at most once a minute, and needs some
/// seconds more to be sure.
pub const HELD: Duration = Duration::from_secs(75);
/// Size of the log folder that is filled, MiB.
pub const FULL_LOGS_MIB: u64 = 1;

/// What the flooding neighbour writes while it is watched for so many seconds, MiB.
pub fn flood_mib(seconds: u64) -> u64 {
    (FLOOD_MIB_A_SECOND * seconds).min(FLOOD_MOST_MIB)
}

impl Fault {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(fault, _)| *fault == self).map_or("none", |(_, name)| name)
    }

    /// The fault of that name.
    pub fn parse(text: &str) -> Option<Fault> {
        ALL.iter().find(|(_, name)| *name == text).map(|(fault, _)| *fault)
    }

    /// Whether it is done on a scratch copy only: it mounts a file system.
    pub fn needs_scratch(self) -> bool {
        self == Fault::Neighbour(Misdeed::FullLogs)
    }

    /// Whether it hurts dogwatch itself rather than a neighbour.
    pub fn is_own(self) -> bool {
        matches!(self, Fault::Kill(_) | Fault::Stop(_))
    }
}

/// What is done, as an operator is told before.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::None => f.write_str("nothing is done yet"),
            Fault::Kill(own) => write!(f, "SIGKILL to {own}"),
            Fault::Stop(own) => {
                write!(f, "SIGSTOP to {own}, until it is replaced (at most {})", show_duration(HELD))
            }
            Fault::Neighbour(misdeed) => write!(f, "a throw-away service {misdeed}"),
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Own::Control => "the control plane",
            Own::Warden => "the warden",
            Own::Keeper => "the service's keeper",
            Own::OtherKeeper => "another service's keeper",
        })
    }
}

impl fmt::Display for Misdeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misdeed::CrashLoop => f.write_str("crashes at every start"),
            Misdeed::Leak => {
                write!(f, "leaks to its limit of {LEAK_LIMIT_MIB} MiB (at most {LEAK_MOST_MIB} MiB)")
            }
            Misdeed::Flood => {
                write!(f, "floods its log with {FLOOD_MIB_A_SECOND} MiB/s (at most {FLOOD_MOST_MIB} MiB)")
            }
            Misdeed::ForkBomb => write!(f, "starts up to {BOMB} processes, which fork again and again"),
            Misdeed::Spin => f.write_str("keeps every processor busy"),
            Misdeed::FullLogs => write!(f, "fills a log folder of {FULL_LOGS_MIB} MiB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_one_name() {
        for (fault, name) in ALL {
            assert_eq!((fault.name(), Fault::parse(name)), (name, Some(fault)));
        }
        assert_eq!(Fault::parse("none"), None);
    }
}
