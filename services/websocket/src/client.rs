//! One connection: frames from its queue to its socket, messages from its socket to the hub.

use std::time::Instant;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use tokio::time::{self, Duration, MissedTickBehavior};
use tokio_tungstenite::tungstenite::Error as ProtocolError;

use crate::frames;
use crate::hub::{ClientId, Hub};
use crate::mailbox::{Inbox, Overflow, mailbox};
use crate::rate::Rate;
use crate::request::Request;
use crate::service::Service;

/// The largest message a client may send.
const MAX_MESSAGE: usize = 16 * 1024;
/// Larger ones are still read up to here, so that the client learns what was wrong.
pub(crate) const MAX_READ: usize = 256 * 1024;
const TRY_AGAIN_LATER: u16 = close_code::AGAIN;
/// How long a client may take to agree to the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a connection ends.
enum End {
    /// It is gone, or does not answer: nothing more can be said.
    Gone,
    /// It said that it leaves.
    Left,
    Close(u16, &'static str),
    Shutdown,
}

/// Serves one client until it leaves or has to.
pub(crate) async fn serve(mut socket: WebSocket, service: &Service) {
    let (out, inbox, overflow) = mailbox();
    let id = service.hub.join(out);
    let end = exchange(&mut socket, inbox, &overflow, id, service).await;
    service.hub.leave(id);
    // Who does not take the farewell in time is left without one.
    let _ = time::timeout(FAREWELL, say_farewell(&mut socket, end)).await;
}

async fn exchange(
    socket: &mut WebSocket,
    mut inbox: Inbox,
    overflow: &Overflow,
    id: ClientId,
    service: &Service,
) -> End {
    let mut rate = Rate::new(Instant::now());
    let mut heartbeat = time::interval(service.config.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let mut heard = true;
    loop {
        let outgoing = tokio::select! {
            biased;
            () = service.shutdown.requested() => return End::Shutdown,
            () = overflow.happened() => return SLOW,
            message = socket.recv() => {
                heard = true;
                match hear(message, &mut rate, id, &service.hub) {
                    Ok(Some(answer)) => Message::Text(answer),
                    Ok(None) => continue,
                    Err(end) => return end,
                }
            }
            _ = heartbeat.tick() => {
                if !heard {
                    return End::Gone;
                }
                heard = false;
                Message::Ping(axum::body::Bytes::new())
            }
            frame = inbox.next() => match frame {
                Some(frame) => Message::Text(frame),
                None => return End::Close(close_code::ERROR, "internal error"),
            },
        };
        // A client that does not read must not keep us from noticing anything else.
        tokio::select! {
            biased;
            sent = socket.send(outgoing) => if sent.is_err() { return End::Gone },
            () = service.shutdown.requested() => return End::Shutdown,
            () = overflow.happened() => return SLOW,
        }
    }
}

const SLOW: End = End::Close(TRY_AGAIN_LATER, "slow consumer");

/// What to answer to a message, if anything, or why this was the last.
fn hear(
    message: Option<Result<Message, axum::Error>>,
    rate: &mut Rate,
    id: ClientId,
    hub: &Hub,
) -> Result<Option<Utf8Bytes>, End> {
    let message = match message {
        None => return Err(End::Gone),
        Some(Err(error)) => return Err(violation(error)),
        Some(Ok(message)) => message,
    };
    let text = match message {
        Message::Ping(_) | Message::Pong(_) => return Ok(None),
        Message::Close(_) => return Err(End::Left),
        Message::Binary(_) => return Err(End::Close(close_code::UNSUPPORTED, "text only")),
        Message::Text(text) => text,
    };
    if text.len() > MAX_MESSAGE {
        return Err(TOO_BIG);
    }
    if !rate.allows(Instant::now()) {
        return Err(End::Close(close_code::POLICY, "too many messages"));
    }
    match Request::parse(&text) {
        Ok(Request::Ping) => return Ok(Some(frames::pong())),
        Ok(Request::Metrics) => hub.send_metrics(id),
        Ok(Request::Subscribe(subscription)) => hub.subscribe(id, subscription),
        Err((word, message)) => return Ok(Some(frames::error(word, message))),
    }
    Ok(None)
}

const TOO_BIG: End = End::Close(close_code::SIZE, "message too big");

fn violation(error: axum::Error) -> End {
    match error.into_inner().downcast::<ProtocolError>().map(|error| *error) {
        Ok(ProtocolError::Capacity(_)) => TOO_BIG,
        Ok(ProtocolError::Utf8(_)) => End::Close(close_code::INVALID, "not UTF-8"),
        Ok(ProtocolError::Protocol(_)) => End::Close(close_code::PROTOCOL, "protocol error"),
        _ => End::Gone,
    }
}

/// Closes, and waits for the other side to agree: closing the socket at once could take back what
/// was sent last.
async fn say_farewell(socket: &mut WebSocket, end: End) {
    let (code, reason) = match end {
        End::Gone => return,
        // Reading on sends the answer to its close frame.
        End::Left => (None, ""),
        End::Close(code, reason) => (Some(code), reason),
        End::Shutdown => {
            let _ = socket.send(Message::Text(frames::server_shutdown())).await;
            (Some(close_code::AWAY), "server shutdown")
        }
    };
    if let Some(code) = code {
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }
    while let Some(Ok(_)) = socket.recv().await {}
}
