//! Several streams in the order of time: first what was written, then what is being written.

use std::ops::Range;

use super::cursor::Place;
use super::order::{Head, Order};
use super::sieve::Line;
use super::source::{Fill, Source};

/// Read from one stream before the others get their turn, bytes.
const TURN: u64 = 256 << 10;
/// A line that is younger than this, nanoseconds, may still be overtaken by an older one of another stream: the precision
/// of the index, and what a keeper needs for a turn.
const UNSETTLED: u64 = 30_000_000;

/// The streams. Those of one service stand one after the other, standard output first.
#[derive(Debug)]
pub struct Reading {
    sources: Vec<Source>,
    order: Order,
    /// Of each source, how many lines have waited for one look already.
    settled: Vec<usize>,
    /// Of each source, why it could not be read at the latest look.
    unreadable: Vec<Option<String>>,
    /// What of it nobody has asked for yet.
    untold: Vec<String>,
}

/// What is given.
#[derive(Debug)]
pub enum Event<'a> {
    /// A line of the source with this number.
    Line(usize, &'a Line),
    /// Nothing for a while: so many bytes have been read of all sources.
    Progress(u64),
}

impl Reading {
    /// These sources.
    pub fn new(sources: Vec<Source>) -> Reading {
        let (settled, unreadable) = (vec![0; sources.len()], vec![None; sources.len()]);
        Reading { sources, order: Order::default(), settled, unreadable, untold: Vec::new() }
    }

    /// Gives all that was written to some of them, up to the moment when they were made. Unfinished lines count if
    /// `finish`. What cannot be read is left out: see [`Reading::troubles`].
    ///
    /// # Errors
    /// Those of `give`.
    pub fn history<E>(
        &mut self,
        which: Range<usize>,
        finish: bool,
        mut give: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = which.start;
        let Reading { sources, untold, .. } = self;
        let sources = &mut sources[which];
        let mut order = Order::default();
        let mut unfinished = vec![finish; sources.len()];
        let mut broken = vec![false; sources.len()];
        loop {
            let mut waiting = false;
            for ((source, unfinished), broken) in sources.iter_mut().zip(&mut unfinished).zip(&mut broken) {
                if source.head().is_some() || *broken {
                    continue;
                }
                match source.fill() {
                    Ok(Fill::Ready) => {}
                    Ok(Fill::Working) => waiting = true,
                    Ok(Fill::Dry) if std::mem::take(unfinished) => source.finish(),
                    Ok(Fill::Dry) => {}
                    // The others are there all the same.
                    Err(error) => {
                        untold.push(error.to_string());
                        *broken = true;
                    }
                }
            }
            if waiting {
                give(Event::Progress(sources.iter_mut().map(|source| source.cursor().bytes_read()).sum()))?;
                continue;
            }
            let Some(next) = order.next(heads(sources)) else { return Ok(()) };
            // As long as it stays the oldest, nobody else has to be asked.
            let others = heads(sources).enumerate().filter(|(number, _)| *number != next);
            let limit = others.filter_map(|(number, head)| Some((head?.key, number))).min();
            let source = &mut sources[next];
            while let Some(line) = source.head() {
                let oldest = limit.is_none_or(|limit| (line.key, next) < limit);
                if !oldest && line.begins {
                    break;
                }
                give(Event::Line(first + next, line))?;
                source.pop();
            }
        }
    }

    /// From now on there is no end: see [`Reading::look`].
    pub fn go_on(&mut self) {
        self.sources.iter_mut().for_each(Source::go_on);
    }

    /// Gives what has come, as far as nothing older can come any more; the rest comes with the next look. `now` is the
    /// time before the look, nanoseconds since 1970. True if there is more to be had at once.
    ///
    /// # Errors
    /// Those of `give`. A file that cannot be read now is tried again with the next look: see
    /// [`Reading::troubles`].
    pub fn look<E>(&mut self, now: u64, give: impl FnMut(usize, &Line) -> Result<(), E>) -> Result<bool, E> {
        let more = self.fill();
        self.give(now, give)?;
        Ok(more)
    }

    /// The first half of a look: reads what has come, but not for long. True if there is more to be had at once.
    pub fn fill(&mut self) -> bool {
        let mut more = false;
        for (source, unreadable) in self.sources.iter_mut().zip(&mut self.unreadable) {
            let filled = source.fill_up(TURN);
            more |= matches!(filled, Ok(false));
            let why = filled.err().map(|error| error.to_string());
            if *unreadable != why {
                self.untold.extend(why.clone());
                *unreadable = why;
            }
        }
        more
    }

    /// What could not be read since the last call, one sentence each; of a file that is tried again and again, once.
    pub fn troubles(&mut self) -> Vec<String> {
        let mut troubles = std::mem::take(&mut self.untold);
        troubles.extend(self.sources.iter_mut().flat_map(|source| source.cursor().troubles()));
        troubles
    }

    /// Of each source, why it could not be read at the latest look, in one sentence.
    pub fn unreadable(&self) -> &[Option<String>] {
        &self.unreadable
    }

    /// The second half of a look. A line that `give` does not take comes again.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn give<E>(
        &mut self,
        now: u64,
        mut give: impl FnMut(usize, &Line) -> Result<(), E>,
    ) -> Result<(), E> {
        let alone = self.sources.len() == 1;
        while let Some(next) = self.order.next(heads(&self.sources)) {
            let source = &mut self.sources[next];
            let Some(line) = source.head() else { break };
            let settled = alone || self.settled[next] > 0 || line.key < now.saturating_sub(UNSETTLED);
            if !settled && line.begins {
                break;
            }
            give(next, line)?;
            source.pop();
            self.settled[next] = self.settled[next].saturating_sub(1);
        }
        for (settled, source) in self.settled.iter_mut().zip(&self.sources) {
            *settled = source.waiting();
        }
        Ok(())
    }

    /// Behind the last line that was given of each source: who goes on there misses nothing and gets nothing twice.
    pub fn given(&self) -> Vec<Place> {
        self.sources.iter().map(Source::taken).collect()
    }

    /// Whether lines wait for the next look.
    pub fn is_waiting(&self) -> bool {
        self.settled.iter().any(|count| *count > 0)
    }

    /// Whether it is to be looked at again although nothing is written.
    pub fn is_displaced(&mut self) -> bool {
        self.sources.iter_mut().any(|source| source.cursor().is_displaced())
    }

    /// The sources.
    pub fn sources(&mut self) -> &mut [Source] {
        &mut self.sources
    }
}

fn heads(sources: &[Source]) -> impl Iterator<Item = Option<Head>> + Clone {
    sources.iter().map(|source| source.head().map(|line| Head { key: line.key, ends: line.ends }))
}
