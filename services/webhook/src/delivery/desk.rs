//! Who gets a sequence: takes offers, keeps places, and sees to the end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use events::Logger;
use service_common::{Shutdown, log, mask};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rule::Policy;
use super::sequence::Sequence;
use super::stats::{Stats, StatsRead, count};
use crate::content::Item;
use crate::graph::Client;
use crate::recipients::Recipients;

/// Sequences that run at a time. More wait, in the order of their triggers.
const SIDE_BY_SIDE: usize = 16;

/// A message that asks for content.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) sender: String,
    pub(crate) message_id: Option<String>,
    pub(crate) received: Instant,
}

/// What became of a trigger.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Starts,
    /// Its turn comes when one of those that run has ended.
    Waits,
    /// The same recipient has a sequence already.
    UnderWay,
    NotARecipient,
    /// The service was asked to end.
    Ending,
}

impl Offer {
    /// For the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starts => "delivery starts",
            Self::Waits => "delivery waits for its turn",
            Self::UnderWay => "no delivery: one to this number is under way",
            Self::NotARecipient => "no delivery: not a recipient",
            Self::Ending => "no delivery: the service ends",
        }
    }
}

/// What is delivered, to whom, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) recipients: Recipients,
    pub(crate) content: Vec<Item>,
    pub(crate) policy: Policy,
    /// Between two items, after a success.
    pub(crate) pause: Duration,
}

/// What every sequence uses.
pub(super) struct Tools {
    pub(super) plan: Plan,
    pub(super) client: Client,
    pub(super) logger: Arc<Logger>,
    pub(super) shutdown: Shutdown,
    pub(super) stats: Stats,
}

/// Takes triggers and starts sequences.
pub(crate) struct Desk {
    tools: Arc<Tools>,
    turns: Arc<Semaphore>,
    /// Who has a sequence, running or waiting.
    places: Places,
    sequences: Mutex<JoinSet<()>>,
}

type Places = Arc<Mutex<HashSet<String>>>;

/// One recipient's place; free again when the sequence is over, however it ended.
struct Place {
    recipient: String,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).remove(&self.recipient);
    }
}

impl Desk {
    pub(crate) fn new(plan: Plan, client: Client, logger: Arc<Logger>, shutdown: Shutdown) -> Self {
        Self {
            tools: Arc::new(Tools { plan, client, logger, shutdown, stats: Stats::default() }),
            turns: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            places: Places::default(),
            sequences: Mutex::default(),
        }
    }

    /// Starts a sequence, if this sender may have one now. Never waits.
    pub(crate) fn offer(&self, trigger: Trigger) -> Offer {
        let Some(recipient) = self.tools.plan.recipients.find(&trigger.sender) else {
            return Offer::NotARecipient;
        };
        if self.tools.shutdown.is_requested() {
            return Offer::Ending;
        }
        let recipient = recipient.to_owned();
        let taken = {
            let mut places = lock(&self.places);
            if !places.insert(recipient.clone()) {
                count(&self.tools.stats.skipped);
                return Offer::UnderWay;
            }
            places.len()
        };
        let place = Place { recipient: recipient.clone(), places: Arc::clone(&self.places) };
        let sequence = Sequence::new(Arc::clone(&self.tools), recipient, trigger);
        let turns = Arc::clone(&self.turns);
        let mut sequences = lock(&self.sequences);
        // Those that are over leave their results here until somebody takes them away.
        while sequences.try_join_next().is_some() {}
        sequences.spawn(async move {
            let _place = place;
            sequence.run_in_turn(&turns).await;
        });
        if taken > SIDE_BY_SIDE { Offer::Waits } else { Offer::Starts }
    }

    /// How many sequences run, and how many wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let running = SIDE_BY_SIDE - self.turns.available_permits();
        (running, lock(&self.places).len().saturating_sub(running))
    }

    pub(crate) fn stats(&self) -> StatsRead {
        self.tools.stats.read()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.tools.plan
    }

    /// Waits for the sequences, which know that the end was asked for, up to `limit`.
    pub(crate) async fn end(&self, limit: Duration) {
        let mut sequences = std::mem::take(&mut *lock(&self.sequences));
        let all = async { while sequences.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            for recipient in lock(&self.places).iter() {
                log::error(format_args!("delivery to {} was cut off at the end", mask(recipient)));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
