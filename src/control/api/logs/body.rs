//! A body that comes in pieces, as fast as the client takes them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::{Bytes, Frame};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::PATIENCE;

/// Pieces that wait for the client.
const WAITING: usize = 4;

/// The client does not want any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// The end that writes. The place among the readers is given back with it.
#[derive(Debug)]
pub struct Pieces {
    sender: Sender<Bytes>,
    _place: OwnedSemaphorePermit,
}

struct Coming(Receiver<Bytes>);

/// A body, and the end that writes it.
pub fn of_pieces(place: OwnedSemaphorePermit) -> (Pieces, Body) {
    let (sender, receiver) = channel(WAITING);
    (Pieces { sender, _place: place }, Body::new(Coming(receiver)))
}

impl Pieces {
    /// Waits until there is room for a piece.
    ///
    /// # Errors
    /// The client has gone, or takes nothing.
    pub async fn send(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        match timeout(PATIENCE, self.sender.send(bytes.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// The same, from a thread that may wait.
    ///
    /// # Errors
    /// As [`Pieces::send`].
    pub fn send_now(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        Handle::current().block_on(self.send(bytes))
    }

    /// Whether anybody still waits for more.
    ///
    /// # Errors
    /// The client has gone.
    pub fn still_wanted(&self) -> Result<(), Gone> {
        if self.sender.is_closed() { Err(Gone) } else { Ok(()) }
    }

    /// Ends when the client has gone.
    pub async fn gone(&self) {
        self.sender.closed().await;
    }
}

impl hyper::body::Body for Coming {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
