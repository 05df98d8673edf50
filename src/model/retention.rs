//! Which archives go: too many, too old, or more than there is room for.

use std::time::Duration;

/// An archived log file, with all that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Which log it was, in the numbering of whoever asks.
    pub log: usize,
    /// When it was archived, milliseconds since 1970.
    pub at_ms: u64,
    /// What it takes.
    pub bytes: u64,
}

/// How much is kept of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Archives of each log.
    pub keep: u32,
    /// Not longer than this.
    pub keep_for: Option<Duration>,
    /// Bytes of all its logs together, archived or not.
    pub budget: u64,
    /// Bytes that those which are not archived may grow to before the rules are applied again.
    pub growth: u64,
}

impl Rules {
    /// When an archive is too old, milliseconds since 1970. None: never.
    pub fn expires(&self, at_ms: u64) -> Option<u64> {
        Some(at_ms.saturating_add(u64::try_from(self.keep_for?.as_millis()).ok()?))
    }
}

/// The archives of one service that go, as positions. `live` is what its logs take that are not archived.
///
/// The clock may have been set: one that is from the future is as new as can be.
pub fn excess(archives: &[Archive], live: u64, rules: &Rules, now_ms: u64) -> Vec<usize> {
    let mut newest_first: Vec<usize> = (0..archives.len()).collect();
    newest_first.sort_by_key(|at| std::cmp::Reverse(archives[*at].at_ms));
    let mut counts: Vec<u32> = Vec::new();
    let mut sum = live.max(rules.growth);
    let mut over_budget = false;
    let mut gone = Vec::new();
    for at in newest_first {
        let Archive { log, at_ms, bytes } = archives[at];
        counts.resize(counts.len().max(log + 1), 0);
        let too_many = counts[log] >= rules.keep;
        let too_old = rules.expires(at_ms).is_some_and(|end| end <= now_ms);
        if !too_many && !too_old && !over_budget {
            // Once one does not fit, all older ones go, too: no gap in what is kept.
            over_budget = sum.saturating_add(bytes) > rules.budget;
        }
        if too_many || too_old || over_budget {
            gone.push(at);
        } else {
            counts[log] += 1;
            sum += bytes;
        }
    }
    gone
}

/// An archive of one of several services that share a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Whose it is, in the numbering of whoever asks.
    pub owner: usize,
    /// Its owner outranks those that are not.
    pub critical: bool,
    /// When it was archived, milliseconds since 1970.
    pub at_ms: u64,
    /// What it takes.
    pub bytes: u64,
}

/// Which archives go, as positions in that order, so that at least `bytes` are freed, if there are so many. Those of
/// critical services go last; else each time the oldest one of whoever has the most: who floods pays for it.
pub fn to_free(archives: &[Shared], bytes: u64) -> Vec<usize> {
    let mut left: Vec<usize> = (0..archives.len()).collect();
    let owners = archives.iter().map(|archive| archive.owner + 1).max().unwrap_or(0);
    let mut sums = vec![0_u64; owners];
    archives.iter().for_each(|archive| sums[archive.owner] += archive.bytes);
    let mut freed = 0;
    let mut gone = Vec::new();
    while freed < bytes {
        let rank = |at: &usize| {
            let archive = &archives[*at];
            (archive.critical, std::cmp::Reverse(sums[archive.owner]), archive.owner, archive.at_ms)
        };
        let Some((position, at)) = left.iter().copied().enumerate().min_by_key(|(_, at)| rank(at)) else {
            break;
        };
        left.swap_remove(position);
        sums[archives[at].owner] -= archives[at].bytes;
        freed += archives[at].bytes;
        gone.push(at);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { keep: 3, keep_for: None, budget: 1000, growth: 0 };

    fn archives(all: &[(usize, u64, u64)]) -> Vec<Archive> {
        all.iter().map(|&(log, at_ms, bytes)| Archive { log, at_ms, bytes }).collect()
    }

    #[test]
    fn by_count_by_age_by_size() {
        let all = archives(&[(0, 1, 10), (0, 2, 10), (0, 3, 10), (0, 4, 10), (1, 1, 10)]);
        assert_eq!(excess(&all, 0, &RULES, 9), [0], "of each log three");
        let aged = Rules { keep_for: Some(Duration::from_millis(6)), ..RULES };
        assert_eq!(excess(&all, 0, &aged, 8), [1, 0, 4]);
        assert_eq!(excess(&all, 980, &RULES, 9), [1, 0, 4], "two fit beside what is not archived");
        assert_eq!(excess(&all, 2000, &RULES, 9).len(), 5);
        let growing = Rules { growth: 980, ..RULES };
        assert_eq!(excess(&all, 0, &growing, 9), [1, 0, 4], "what is not archived may become so large");
    }

    #[test]
    fn who_has_the_most_pays_and_critical_ones_last() {
        let shared = |owner, critical, at_ms, bytes| Shared { owner, critical, at_ms, bytes };
        let all = [
            shared(0, true, 1, 500),
            shared(1, false, 2, 50),
            shared(2, false, 3, 100),
            shared(2, false, 4, 100),
            shared(2, false, 5, 100),
        ];
        assert_eq!(to_free(&all, 0), [0_usize; 0]);
        assert_eq!(to_free(&all, 150), [2, 3]);
        assert_eq!(to_free(&all, 260), [2, 3, 4]);
        assert_eq!(to_free(&all, 10_000), [2, 3, 4, 1, 0]);
    }

    proptest! {
        #[test]
        fn what_is_kept_keeps_the_rules(
            all in prop::collection::vec((0..2_usize, 0..1000_u64, 1..100_u64), 0..40),
            (live, keep, age) in (0..500_u64, 0..10_u32, prop::option::of(0..1000_u64)),
            (budget, growth) in (0..2000_u64, 0..500_u64),
        ) {
            let all = archives(&all);
            let rules = Rules { keep, keep_for: age.map(Duration::from_millis), budget, growth };
            let gone = excess(&all, live, &rules, 1000);
            let kept: Vec<&Archive> =
                (0..all.len()).filter(|at| !gone.contains(at)).map(|at| &all[at]).collect();
            let sum: u64 = kept.iter().map(|archive| archive.bytes).sum();
            prop_assert!(kept.is_empty() || live.max(growth) + sum <= budget);
            for log in 0..2 {
                prop_assert!(kept.iter().filter(|archive| archive.log == log).count() <= keep as usize);
            }
            prop_assert!(kept.iter().all(|archive| age.is_none_or(|age| archive.at_ms + age > 1000)));
            // Of each log the newest are kept.
            for at in &gone {
                let gone = &all[*at];
                prop_assert!(kept.iter().all(|kept| kept.log != gone.log || kept.at_ms >= gone.at_ms));
            }
        }

        #[test]
        fn no_more_goes_than_must(
            all in prop::collection::vec((0..4_usize, any::<bool>(), 0..1000_u64, 1..100_u64), 0..30),
            bytes in 0..2000_u64,
        ) {
            let all: Vec<Shared> = all
                .iter()
                .map(|&(owner, _, at_ms, bytes)| Shared { owner, critical: owner == 0, at_ms, bytes })
                .collect();
            let gone = to_free(&all, bytes);
            let sum = |gone: &[usize]| gone.iter().map(|at| all[*at].bytes).sum::<u64>();
            prop_assert!(sum(&gone) >= bytes || gone.len() == all.len());
            prop_assert!(gone.is_empty() || sum(&gone[..gone.len() - 1]) < bytes);
            let first_critical = gone.iter().position(|at| all[*at].critical).unwrap_or(gone.len());
            prop_assert!(gone[first_critical..].iter().all(|at| all[*at].critical));
        }
    }
}
