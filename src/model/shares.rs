//! How much of the machine a service, or a whole compartment, gets when others want it too. Each rule is one file of
//! cgroup v2, and holds where its controller is enabled.

use serde::{Deserialize, Serialize};

/// What critical work gets for each 1 of the others, unless written (cgroup-v2.rst: the usual weight is 100).
pub const CRITICAL_WEIGHT: u32 = 1000;

/// Absent: as the kernel does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shares {
    /// Share of processor time beside the others, 1 to 10000; the usual is 100 (cpu.weight).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u32>,
    /// Share of the disks beside the others, 1 to 10000; the usual is 100 (io.weight).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u32>,
    /// Most processes and threads (pids.max).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u32>,
}

/// What all services of a compartment have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Together {
    /// The kernel's wall for the memory of all, bytes (memory.max).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Their shares as one.
    #[serde(flatten)]
    pub shares: Shares,
}

impl Shares {
    /// The same, with the weights that critical work has unless written.
    pub fn or_critical(self, critical: bool) -> Shares {
        let weight = critical.then_some(CRITICAL_WEIGHT);
        Shares { cpu_weight: self.cpu_weight.or(weight), io_weight: self.io_weight.or(weight), ..self }
    }

    /// File and value of each rule.
    pub fn files(self) -> impl Iterator<Item = (&'static str, u64)> {
        let files =
            [("cpu.weight", self.cpu_weight), ("io.weight", self.io_weight), ("pids.max", self.pids_max)];
        files.into_iter().filter_map(|(file, value)| Some((file, value?.into())))
    }

    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Shares::default()
    }
}

impl Together {
    /// File and value of each rule.
    pub fn files(self) -> impl Iterator<Item = (&'static str, u64)> {
        self.memory.map(|memory| ("memory.max", memory)).into_iter().chain(self.shares.files())
    }

    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Together::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_work_comes_first_unless_written() {
        let written = Shares { cpu_weight: Some(50), ..Shares::default() };
        let files: Vec<_> = written.or_critical(true).files().collect();
        assert_eq!(files, [("cpu.weight", 50), ("io.weight", 1000)]);
        assert!(Shares::default().or_critical(false).is_default());
        let together = Together { memory: Some(5), shares: written };
        assert_eq!(together.files().collect::<Vec<_>>(), [("memory.max", 5), ("cpu.weight", 50)]);
    }
}
