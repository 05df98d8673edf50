//! One ping: does the loop of that process turn?

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::link::Link;
use crate::model::suspicion::Event;
use crate::os::{clock, process};

/// Sends `question` to the socket of process `pid` and waits exactly so long for any answer at all.
pub async fn ping(pid: i32, socket: &Path, question: &impl Serialize, patience: Duration) -> Event {
    let due = clock::mono().plus(patience);
    let mut link = None;
    let exchange = async {
        let link = link.insert(Link::connect(socket)?);
        link.send(question).await?;
        link.receive().await
    };
    let outcome = match timeout(patience, exchange).await {
        Ok(Ok(Some(_))) => return Event::Answered,
        Ok(Ok(None)) => Ok(()), // it has closed without a word
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(()),
    };
    let left = due.since(clock::mono());
    if !left.is_zero() {
        sleep(left).await;
    }
    let late = clock::mono().since(due);
    // The answer may lie in the socket although nobody has told us yet.
    if link.is_some_and(|link| link.has_packet()) {
        return Event::Answered;
    }
    Event::Silent {
        late,
        sure: outcome.as_ref().map_or_else(is_its_fault, |()| true),
        stopped: process::is_stopped(pid),
    }
}

/// Whether an error is one of the other side: nobody listens, or the queue of those who wait is full. All others,
/// such as no descriptor left, say nothing about it.
fn is_its_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | WouldBlock)
}
