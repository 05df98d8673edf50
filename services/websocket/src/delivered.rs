//! What one client was sent already, so that asking for the past never brings a row twice.
//!
//! A client is live from its first row on, under one subscription after another. Each span says from
//! which id on (exclusive, up to the next span) rows of which channels were sent.

use crate::channels::Channels;

/// More changes of mind than this are forgotten, oldest first, in favour of not repeating anything.
const SPANS: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Delivered(Vec<(i64, Channels)>);

impl Delivered {
    /// Live from after `cursor` on.
    pub(crate) fn new(cursor: i64, channels: Channels) -> Self {
        Self(vec![(cursor, channels)])
    }

    /// Was this row sent, or will it be as part of what is live?
    pub(crate) fn has(&self, id: i64, channel: Channels) -> bool {
        self.0.iter().rev().find(|(start, _)| id > *start).is_some_and(|(_, sent)| sent.has(channel))
    }

    /// From after `cursor` on another subscription holds.
    pub(crate) fn change(&mut self, cursor: i64, channels: Channels) {
        self.0.retain(|(start, _)| *start < cursor);
        self.0.push((cursor, channels));
        while self.0.len() > SPANS {
            let (start, first) = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                *next = (start, first.and(next.1));
            }
        }
    }

    /// Rows of these channels with an id above `since` are being sent, as far as they were not.
    pub(crate) fn catch_up(&mut self, since: i64, channels: Channels) {
        let before = self.0.iter().rposition(|(start, _)| *start < since).map(|index| self.0[index].1);
        let split_at = self.0.partition_point(|(start, _)| *start < since);
        if self.0.get(split_at).is_none_or(|(start, _)| *start != since) {
            self.0.insert(split_at, (since, before.unwrap_or(channels)));
        }
        for (_, sent) in &mut self.0[split_at..] {
            *sent = sent.and(channels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Channels, Delivered};

    fn channels(name: &str) -> Channels {
        Channels::of_event(name)
    }

    #[test]
    fn what_was_live_is_not_repeated() {
        let click = channels("button_click");
        let mut sent = Delivered::new(10, Channels::ALL);
        assert!(!sent.has(10, click) && sent.has(11, click));
        sent.catch_up(5, Channels::ALL);
        assert!(!sent.has(5, click) && sent.has(6, click) && sent.has(11, click));
    }

    #[test]
    fn what_was_not_wanted_then_can_be_had_now() {
        let (click, text) = (channels("button_click"), channels("text_message"));
        let mut sent = Delivered::new(10, Channels::ALL);
        sent.change(20, click);
        sent.change(30, Channels::ALL);
        assert!(sent.has(15, text) && !sent.has(25, text) && sent.has(25, click) && sent.has(35, text));
        sent.catch_up(25, text);
        assert!(!sent.has(25, text) && sent.has(26, text) && sent.has(25, click) && sent.has(26, click));
        sent.catch_up(2, text);
        assert!(sent.has(3, text) && !sent.has(3, click) && sent.has(22, text));
    }

    #[test]
    fn it_stays_small() {
        let mut sent = Delivered::new(0, Channels::ALL);
        for cursor in 1..1000 {
            sent.change(cursor, Channels::METRICS);
        }
        assert_eq!(sent.0.len(), super::SPANS);
    }
}
