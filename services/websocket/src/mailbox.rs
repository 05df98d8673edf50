//! The bounded queue between the hub and one client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

const FRAMES: usize = 256;
const BYTES: usize = 1 << 20;

/// The hub's side.
#[derive(Debug)]
pub(crate) struct Mailbox {
    frames: Sender<Utf8Bytes>,
    shared: Arc<Shared>,
}

/// The client's side.
#[derive(Debug)]
pub(crate) struct Inbox {
    frames: Receiver<Utf8Bytes>,
    shared: Arc<Shared>,
}

/// Tells the client that it was too slow, also while it is busy with something else.
#[derive(Debug)]
pub(crate) struct Overflow(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    overflow: Notify,
}

/// There was no room: the client reads too slowly.
#[derive(Debug)]
pub(crate) struct Full;

pub(crate) fn mailbox() -> (Mailbox, Inbox, Overflow) {
    let (sender, receiver) = channel(FRAMES);
    let shared = Arc::new(Shared::default());
    let mailbox = Mailbox { frames: sender, shared: Arc::clone(&shared) };
    let inbox = Inbox { frames: receiver, shared: Arc::clone(&shared) };
    (mailbox, inbox, Overflow(shared))
}

impl Mailbox {
    /// Hands a frame to the client. When there is no room the client is told, and shall be forgotten.
    pub(crate) fn put(&self, frame: Utf8Bytes) -> Result<(), Full> {
        let length = frame.len();
        let waiting = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        // One frame always fits, however large it is: else it could never be sent to anybody.
        let fits = waiting == 0 || waiting + length <= BYTES;
        if fits && self.frames.try_send(frame).is_ok() {
            return Ok(());
        }
        self.shared.overflow.notify_one();
        Err(Full)
    }
}

impl Inbox {
    /// The next frame; none once the hub has ended.
    pub(crate) async fn next(&mut self) -> Option<Utf8Bytes> {
        let frame = self.frames.recv().await?;
        self.shared.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

impl Overflow {
    /// Returns when a frame could not be put into the queue; at once if that was before.
    pub(crate) async fn happened(&self) {
        self.0.overflow.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, FRAMES, Utf8Bytes, mailbox};

    #[tokio::test]
    async fn bounded_in_frames_and_in_bytes() {
        let (out, mut inbox, overflow) = mailbox();
        for _ in 0..FRAMES {
            assert!(out.put("x".into()).is_ok());
        }
        assert!(out.put("x".into()).is_err());
        overflow.happened().await;
        assert_eq!(inbox.next().await.as_deref(), Some("x"));

        let (out, _inbox, _) = mailbox();
        assert!(out.put(Utf8Bytes::from("x".repeat(BYTES + 1))).is_ok());
        assert!(out.put("x".into()).is_err());
    }
}
