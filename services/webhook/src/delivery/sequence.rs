//! One trigger's content on its way: item after item, each written down when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{Delivered, DeliveryEnd, Entry, NewEvent};
use jiff::Timestamp;
use service_common::{log, mask};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::desk::{Tools, Trigger};
use super::rule::Next;
use super::stats::count;
use crate::content::Item;
use crate::graph::Outcome;

/// When the end is asked for, a request that is under way has this long to be answered.
pub(crate) const LAST_REQUEST: Duration = Duration::from_secs(5);

pub(super) struct Sequence {
    tools: Arc<Tools>,
    recipient: String,
    trigger: Trigger,
    /// Nothing was accepted so far.
    is_unanswered: bool,
}

/// How an item ended.
struct Ended {
    outcome: Outcome,
    attempts: u32,
    took: Duration,
}

impl Sequence {
    pub(super) fn new(tools: Arc<Tools>, recipient: String, trigger: Trigger) -> Self {
        Self { tools, recipient, trigger, is_unanswered: true }
    }

    /// Waits for a turn, then delivers.
    pub(super) async fn run_in_turn(mut self, turns: &Semaphore) {
        let turn = tokio::select! {
            biased;
            () = self.tools.shutdown.requested() => None,
            turn = turns.acquire() => turn.ok(),
        };
        let sent = if turn.is_some() { self.run().await } else { 0 };
        self.tell_what_is_left(sent);
    }

    /// Delivers the items, as long as the service goes on. How many were tried.
    async fn run(&mut self) -> usize {
        let tools = Arc::clone(&self.tools);
        for (index, item) in tools.plan.content.iter().enumerate() {
            if tools.shutdown.is_requested() {
                return index;
            }
            let ended = self.deliver(item).await;
            let is_success = matches!(ended.outcome, Outcome::Accepted { .. });
            self.record(item, index, &ended);
            let is_last = index + 1 == tools.plan.content.len();
            if is_success && !is_last {
                self.rest(tools.plan.pause).await;
            }
        }
        tools.plan.content.len()
    }

    /// One item, to its end.
    async fn deliver(&self, item: &Item) -> Ended {
        let tools = &self.tools;
        let start = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            count(&tools.stats.attempted);
            if attempts > 1 {
                count(&tools.stats.retries);
            }
            let outcome = tokio::select! {
                outcome = tools.client.send(&self.recipient, &item.body) => outcome,
                () = self.last_call() => Outcome::NoAnswer("the service ended before there was an answer".to_owned()),
            };
            match tools.plan.policy.after(attempts, &outcome) {
                Next::TryAgain(wait) if !tools.shutdown.is_requested() => {
                    self.rest(wait).await;
                    if !tools.shutdown.is_requested() {
                        continue;
                    }
                }
                Next::Done | Next::GiveUp | Next::TryAgain(_) => {}
            }
            return Ended { outcome, attempts, took: start.elapsed() };
        }
    }

    /// In the statistics, the log and the database.
    fn record(&mut self, item: &Item, index: usize, ended: &Ended) {
        let tools = &self.tools;
        let (took, reason) = (milliseconds(ended.took), ended.outcome.reason());
        let end = match &ended.outcome {
            Outcome::Accepted { message_id } => {
                let is_answer = std::mem::take(&mut self.is_unanswered);
                let answered_ms = is_answer.then(|| milliseconds(self.trigger.received.elapsed()));
                DeliveryEnd::Accepted { message_id: message_id.as_deref(), answered_ms }
            }
            _ => DeliveryEnd::GivenUp(&reason),
        };
        let (to, id) = (mask(&self.recipient), &item.id);
        let place = format!("{} of {}", index + 1, tools.plan.content.len());
        let times = if ended.attempts == 1 { "attempt" } else { "attempts" };
        let how = format!("{} {times}, {took} ms", ended.attempts);
        match &end {
            DeliveryEnd::Accepted { message_id, .. } => {
                count(&tools.stats.successful);
                let message = mask(message_id.unwrap_or_default());
                log::info(format_args!("delivery to {to}: {id} ({place}) accepted, id {message}, {how}"));
            }
            DeliveryEnd::GivenUp(_) => {
                count(&tools.stats.failed);
                log::error(format_args!("delivery to {to}: {id} ({place}) failed: {}, {how}", ended.outcome));
            }
        }
        let delivered =
            Delivered { item: id, item_type: item.body.kind(), took_ms: took, attempts: ended.attempts, end };
        let event = NewEvent::delivery(Timestamp::now(), &self.recipient, &delivered);
        // By its key it is written once, also when the spool is taken over twice.
        let key = self.trigger.message_id.as_ref().map(|trigger| format!("delivery:{trigger}:{id}"));
        // What does not fit is counted by the logger.
        let _ = tools.logger.log(&Entry { key, events: vec![event] });
    }

    fn tell_what_is_left(&self, sent: usize) {
        let left = &self.tools.plan.content[sent..];
        if !left.is_empty() {
            let ids: Vec<_> = left.iter().map(|item| item.id.as_str()).collect();
            let (to, count, ids) = (mask(&self.recipient), left.len(), ids.join(", "));
            log::error(format_args!(
                "delivery to {to}: {count} items not sent, because the service ends: {ids}"
            ));
        }
    }

    /// Returns after `time`, at once when the end is asked for.
    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.tools.shutdown.requested() => {}
        }
    }

    /// Returns when the end was asked for and a request has had its time.
    async fn last_call(&self) {
        self.tools.shutdown.requested().await;
        sleep(LAST_REQUEST).await;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
