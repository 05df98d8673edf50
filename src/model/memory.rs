//! The memory limit: what was seen when it was crossed, and whether two runs fit beside each other.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::end::Why;
use super::trend::Rise;
use super::units::{millis, show_duration, show_size};

/// A run that uses more than it may: how much, how fast, how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Bytes in use when it was noticed.
    pub used: u64,
    /// The limit it crossed, bytes.
    pub limit: u64,
    /// How long it had lived; milliseconds in the record.
    #[serde(default, with = "millis", skip_serializing_if = "Duration::is_zero")]
    pub after: Duration,
    /// How fast its memory had been growing, if it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise: Option<Rise>,
    /// It went on growing while it was to end, so it was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grew_on: bool,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {} over the limit of {}", show_size(self.used), show_size(self.limit))?;
        if let Some(rise) = &self.rise {
            let span = show_duration(rise.span);
            write!(f, ", +{}/min over the last {span}", show_size(rise.bytes_per_minute))?;
        }
        if !self.after.is_zero() {
            write!(f, ", after {}", show_duration(self.after))?;
        }
        if self.grew_on {
            f.write_str(", killed because it grew on while it was to end")?;
        }
        Ok(())
    }
}

/// How a run stands that is over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// It has crossed the limit since the last look, rather than stayed above it.
    pub crossed: bool,
    /// It is above the wall behind the limit.
    pub over_max: bool,
}

impl Growth {
    /// Whether a run that was asked to end, for this reason, must be killed now: it is at the wall, or it has come back
    /// below the limit for which it is to end, and crossed it again.
    pub fn is_too_much(self, why: &Why) -> bool {
        self.over_max || (self.crossed && matches!(why, Why::Memory(_)))
    }
}

/// Whether a second run fits beside one that uses `used` bytes, for as long as the first one needs to end: `available`
/// is what the machine, and what the compartment has left. Where that is not known there is no room.
pub fn has_room(used: u64, available: &[Option<u64>]) -> bool {
    available.iter().all(|left| left.is_some_and(|left| left > used))
}

/// Follows one run over its limit and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    above: bool,
}

impl Line {
    /// It uses `used` bytes now: none while that is within `limit`; else whether it has crossed the limit since the
    /// last time, rather than stayed above it.
    pub fn look(&mut self, used: u64, limit: u64) -> Option<bool> {
        let was_above = std::mem::replace(&mut self.above, used > limit);
        self.above.then_some(!was_above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_much_how_fast_and_how_long() {
        let mib = |n: u64| n << 20;
        let mut over = Over {
            used: mib(260),
            limit: mib(256),
            after: Duration::from_secs(3 * 3600),
            rise: Some(Rise { bytes_per_minute: 1_258_291, span: Duration::from_secs(2400) }),
            grew_on: false,
        };
        assert_eq!(
            over.to_string(),
            "memory 260 MiB over the limit of 256 MiB, +1.2 MiB/min over the last 40m, after 3h"
        );
        over = Over { rise: None, after: Duration::ZERO, ..over };
        assert_eq!(over.to_string(), "memory 260 MiB over the limit of 256 MiB");
    }

    #[test]
    fn two_runs_need_room_everywhere() {
        assert!(has_room(10, &[Some(11)]) && has_room(10, &[Some(11), Some(12)]));
        assert!(!has_room(10, &[Some(10)]), "nothing would be left");
        assert!(!has_room(10, &[Some(11), Some(9)]), "the compartment is full");
        assert!(!has_room(10, &[None]), "nobody knows");
    }

    #[test]
    fn a_crossing_is_told_from_staying_above() {
        let mut line = Line::default();
        let told: Vec<_> = [1, 3, 4, 2, 3, 3].into_iter().map(|used| line.look(used, 2)).collect();
        assert_eq!(told, [None, Some(true), Some(false), None, Some(true), Some(false)]);
    }
}
