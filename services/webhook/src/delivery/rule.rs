//! What follows from the outcome of an attempt. No clock, no socket: what is known comes in, what is to
//! be done goes out.
//!
//! | outcome | |
//! |---|---|
//! | 200 with JSON | done |
//! | 200 with anything else | given up: the message may be on its way, and would come twice |
//! | no answer, 408, 429, 5xx | tried again, as long as attempts are left |
//! | every other status | given up: asking again changes nothing; a redirect is never followed |

use std::time::Duration;

use crate::graph::Outcome;

/// Nobody may make us wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often and how soon an item is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// In all, the first one included.
    pub(crate) attempts: u32,
    /// Between two attempts, at least.
    pub(crate) pause: Duration,
}

/// What is to be done now.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Done,
    TryAgain(Duration),
    GiveUp,
}

impl Policy {
    /// After the attempt of this number, counted from 1.
    pub(crate) fn after(&self, attempt: u32, outcome: &Outcome) -> Next {
        let wait = match outcome {
            Outcome::Accepted { .. } => return Next::Done,
            Outcome::Unclear(_) => return Next::GiveUp,
            Outcome::NoAnswer(_) => Duration::ZERO,
            Outcome::Refused { status: 408 | 429 | 500..=599, retry_after, .. } => {
                retry_after.unwrap_or_default().min(LONGEST_WAIT)
            }
            Outcome::Refused { .. } => return Next::GiveUp,
        };
        if attempt < self.attempts { Next::TryAgain(wait.max(self.pause)) } else { Next::GiveUp }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Duration, LONGEST_WAIT, Next, Outcome, Policy};

    fn refused(status: u16, retry_after: Option<u64>) -> Outcome {
        let retry_after = retry_after.map(Duration::from_secs);
        Outcome::Refused { status, retry_after, code: None, text: None }
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Accepted { message_id: None }),
            Just(Outcome::Unclear("x")),
            Just(Outcome::NoAnswer("x".to_owned())),
            (100_u16..1000, proptest::option::of(any::<u64>()))
                .prop_map(|(status, wait)| refused(status, wait)),
        ]
    }

    #[test]
    fn the_table() {
        let policy = Policy { attempts: 3, pause: Duration::from_secs(3) };
        let again = |seconds| Next::TryAgain(Duration::from_secs(seconds));
        for (outcome, expected) in [
            (Outcome::Accepted { message_id: None }, Next::Done),
            (Outcome::Unclear("x"), Next::GiveUp),
            (Outcome::NoAnswer("x".to_owned()), again(3)),
            (refused(408, None), again(3)),
            (refused(429, None), again(3)),
            (refused(429, Some(1)), again(3)),
            (refused(429, Some(30)), again(30)),
            (refused(429, Some(3600)), again(60)),
            (refused(500, None), again(3)),
            (refused(503, Some(10)), again(10)),
            (refused(599, None), again(3)),
            (refused(201, None), Next::GiveUp),
            (refused(302, Some(1)), Next::GiveUp),
            (refused(400, None), Next::GiveUp),
            (refused(401, None), Next::GiveUp),
            (refused(404, None), Next::GiveUp),
            (refused(600, None), Next::GiveUp),
        ] {
            assert_eq!(policy.after(1, &outcome), expected, "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn attempts_and_waits_have_an_end(
            outcome in any_outcome(),
            attempts in 1_u32..20,
            attempt in 1_u32..20,
            pause in 0_u64..600_000,
        ) {
            let pause = Duration::from_millis(pause);
            let is_accepted = matches!(outcome, Outcome::Accepted { .. });
            let is_unclear = matches!(outcome, Outcome::Unclear(_));
            match (Policy { attempts, pause }).after(attempt, &outcome) {
                Next::TryAgain(wait) => {
                    prop_assert!(attempt < attempts && !is_accepted && !is_unclear);
                    prop_assert!(wait >= pause && wait <= pause.max(LONGEST_WAIT));
                }
                Next::Done => prop_assert!(is_accepted),
                Next::GiveUp => prop_assert!(!is_accepted),
            }
        }
    }
}
