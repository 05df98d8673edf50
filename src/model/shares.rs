//! How much of the machine a service, or a whole compartment, gets when others want it too. Each rule is one file of
//! cgroup v2, and holds where its controller is enabled.

use serde::{Deserialize, Serialize};

/// What critical work gets for each 1 of the others, unless written.
pub const CRITICAL_WEIGHT: u32 = 1000;

/// What everybody gets unless written (cgroup-v2.rst).
const USUAL_WEIGHT: u32 = 100;

/// A limit as the kernel wants it written (cgroup-v2.rst).
pub fn at_most<T: ToString>(limit: Option<T>) -> String {
    limit.map_or_else(|| "max".to_owned(), |limit| limit.to_string())
}

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

    /// File and value of each rule; what is not asked for is as the kernel does it, so that a rule ends with its entry.
    pub fn files(self) -> [(&'static str, String); 3] {
        let weight = |share: Option<u32>| share.unwrap_or(USUAL_WEIGHT).to_string();
        [
            ("cpu.weight", weight(self.cpu_weight)),
            ("io.weight", weight(self.io_weight)),
            ("pids.max", at_most(self.pids_max)),
        ]
    }

    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Shares::default()
    }
}

impl Together {
    /// As [`Shares::files`].
    pub fn files(self) -> impl Iterator<Item = (&'static str, String)> {
        [("memory.max", at_most(self.memory))].into_iter().chain(self.shares.files())
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
        let files =
            |cpu: &str, io: &str| [("cpu.weight", cpu), ("io.weight", io), ("pids.max", "max")].map(owned);
        assert_eq!(written.or_critical(true).files(), files("50", "1000"));
        assert_eq!(Shares::default().files(), files("100", "100"));
        assert!(Shares::default().or_critical(false).is_default());
        let together = Together { memory: Some(5), shares: Shares { pids_max: Some(9), ..written } };
        let files: Vec<_> = together.files().collect();
        let expected = [("memory.max", "5"), ("cpu.weight", "50"), ("io.weight", "100"), ("pids.max", "9")];
        assert_eq!(files, expected.map(owned));
        assert_eq!(Together::default().files().next(), Some(owned(("memory.max", "max"))));
    }

    fn owned((file, value): (&'static str, &str)) -> (&'static str, String) {
        (file, value.to_owned())
    }
}
