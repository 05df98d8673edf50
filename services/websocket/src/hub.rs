//! The thread that knows the database and everybody who watches it.
//!
//! All that could cross (a client joins while rows arrive, a subscription changes while rows are
//! handed out) happens here one after the other. Its loop: take a command if there is one within the
//! time to the next look, then look.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use events::EventRow;
use events::queries::DashboardMetrics;

use crate::channels::Channels;
use crate::delivered::Delivered;
use crate::feed::Feed;
use crate::frames::{self, View};
use crate::mailbox::Mailbox;
use crate::request::Subscription;

/// How often to look while somebody watches …
const WATCHED: Duration = Duration::from_millis(20);
/// … while there is more than could be handed out at once …
const BUSY: Duration = Duration::from_millis(2);
/// … and while nobody watches.
const UNWATCHED: Duration = Duration::from_millis(500);
/// Numbers are pushed at most this often.
const METRICS: Duration = Duration::from_secs(2);
const RECENT_IN_UPDATE: u32 = 5;
/// What can be sent from the past, in bytes; a client's queue must hold it.
const BACKLOG_BYTES: usize = 768 * 1024;

pub(crate) type ClientId = u64;

enum Command {
    Join(ClientId, Mailbox),
    Subscribe(ClientId, Subscription),
    Metrics(ClientId),
    Leave(ClientId),
}

/// What the outside may read without asking the thread.
#[derive(Debug, Default)]
struct Gauges {
    clients: AtomicUsize,
    last_event_id: AtomicI64,
}

/// The way to the thread.
pub(crate) struct Hub {
    commands: Sender<Command>,
    gauges: Arc<Gauges>,
    next: AtomicU64,
}

impl Hub {
    /// Starts the thread. It ends when the hub is dropped.
    pub(crate) fn start(database: PathBuf) -> io::Result<Self> {
        let (commands, received) = channel();
        let gauges = Arc::new(Gauges::default());
        let mut keeper = Keeper {
            feed: Feed::new(database),
            clients: HashMap::new(),
            gauges: Arc::clone(&gauges),
            started: Instant::now(),
            metrics_pushed: None,
            metrics_old: false,
        };
        std::thread::Builder::new().name("hub".into()).spawn(move || keeper.run(&received))?;
        Ok(Self { commands, gauges, next: AtomicU64::new(1) })
    }

    /// A new client: it gets its first frames, then what is new.
    pub(crate) fn join(&self, mailbox: Mailbox) -> ClientId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.send(Command::Join(id, mailbox));
        id
    }

    pub(crate) fn subscribe(&self, client: ClientId, subscription: Subscription) {
        self.send(Command::Subscribe(client, subscription));
    }

    pub(crate) fn send_metrics(&self, client: ClientId) {
        self.send(Command::Metrics(client));
    }

    pub(crate) fn leave(&self, client: ClientId) {
        self.send(Command::Leave(client));
    }

    pub(crate) fn clients(&self) -> usize {
        self.gauges.clients.load(Ordering::Relaxed)
    }

    pub(crate) fn last_event_id(&self) -> i64 {
        self.gauges.last_event_id.load(Ordering::Relaxed)
    }

    fn send(&self, command: Command) {
        // Without the thread the client sees its mailbox closed; there is nobody else to tell.
        let _ = self.commands.send(command);
    }
}

struct Client {
    mailbox: Mailbox,
    channels: Channels,
    delivered: Delivered,
}

/// The thread's own side.
struct Keeper {
    feed: Feed,
    clients: HashMap<ClientId, Client>,
    gauges: Arc<Gauges>,
    started: Instant,
    metrics_pushed: Option<Instant>,
    metrics_old: bool,
}

impl Keeper {
    fn run(&mut self, commands: &Receiver<Command>) {
        loop {
            let pause = match (self.clients.is_empty(), self.feed.has_more()) {
                (_, true) => BUSY,
                (true, false) => UNWATCHED,
                (false, false) => WATCHED,
            };
            match commands.recv_timeout(pause) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
            self.push_metrics();
            self.gauges.clients.store(self.clients.len(), Ordering::Relaxed);
            self.gauges.last_event_id.store(self.feed.cursor(), Ordering::Relaxed);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(id, mailbox) => self.join(id, mailbox),
            Command::Subscribe(id, subscription) => self.subscribe(id, &subscription),
            Command::Metrics(id) => {
                let frame = self.metrics_update();
                self.put(id, [frame]);
            }
            Command::Leave(id) => drop(self.clients.remove(&id)),
        }
    }

    fn look(&mut self) {
        let news = self.feed.look();
        self.metrics_old |= news.changed;
        self.publish();
        self.deliver(&news.rows);
    }

    /// Before anybody is told of something, the outside can read it too.
    fn publish(&self) {
        self.gauges.clients.store(self.clients.len(), Ordering::Relaxed);
        self.gauges.last_event_id.store(self.feed.cursor(), Ordering::Relaxed);
    }

    fn join(&mut self, id: ClientId, mailbox: Mailbox) {
        // First the place of the cursor, should the file be new to us.
        self.look();
        let (metrics, recent) = match self.feed.snapshot() {
            Some(snapshot) => {
                self.deliver(&snapshot.new);
                (snapshot.metrics, snapshot.recent)
            }
            None => (DashboardMetrics::default(), Vec::new()),
        };
        let cursor = self.feed.cursor();
        if self.clients.is_empty() {
            // Nobody waits for the numbers of before.
            self.metrics_old = false;
        }
        let delivered = Delivered::new(cursor, Channels::ALL);
        self.clients.insert(id, Client { mailbox, channels: Channels::ALL, delivered });
        self.publish();
        let first = frames::connection_established();
        let second = frames::initial_data(&self.view(&metrics, &recent), cursor);
        self.put(id, [first, second]);
    }

    fn subscribe(&mut self, id: ClientId, subscription: &Subscription) {
        let mut answers = vec![frames::subscription_confirmed(subscription)];
        self.look();
        let cursor = self.feed.cursor();
        let past = subscription.since.map(|since| (since, self.feed.backlog(since)));
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.channels = subscription.channels;
        client.delivered.change(cursor, subscription.channels);
        match past {
            None => {}
            Some((since, Some(rows))) => {
                let wanted: Vec<String> = rows
                    .iter()
                    .map(|row| (row, Channels::of_event(&row.event_type)))
                    .filter(|(row, channel)| {
                        client.channels.has(*channel) && !client.delivered.has(row.id, *channel)
                    })
                    .map(|(row, _)| encode(row))
                    .collect();
                if wanted.iter().map(String::len).sum::<usize>() <= BACKLOG_BYTES {
                    client.delivered.catch_up(since, subscription.channels);
                    answers.extend(frames::new_events(wanted.iter().map(String::as_str)));
                } else {
                    answers.push(frames::too_old(cursor));
                }
            }
            Some((_, None)) => answers.push(frames::too_old(cursor)),
        }
        self.put(id, answers);
    }

    /// Hands rows to all who want them; those with the same wishes share the same bytes.
    fn deliver(&mut self, rows: &[EventRow]) {
        if rows.is_empty() || self.clients.is_empty() {
            return;
        }
        let encoded: Vec<(Channels, String)> =
            rows.iter().map(|row| (Channels::of_event(&row.event_type), encode(row))).collect();
        let mut by_wish: HashMap<Channels, Vec<Utf8Bytes>> = HashMap::new();
        self.clients.retain(|_, client| {
            let frames =
                by_wish.entry(client.channels).or_insert_with(|| frames_for(client.channels, rows, &encoded));
            frames.iter().all(|frame| client.mailbox.put(frame.clone()).is_ok())
        });
    }

    fn push_metrics(&mut self) {
        let due = self.metrics_pushed.is_none_or(|at| at.elapsed() >= METRICS);
        let is_metrics = |client: &Client| client.channels.has(Channels::METRICS);
        if !self.metrics_old || !due || !self.clients.values().any(is_metrics) {
            return;
        }
        self.metrics_old = false;
        self.metrics_pushed = Some(Instant::now());
        let frame = self.metrics_update();
        self.clients.retain(|_, client| !is_metrics(client) || client.mailbox.put(frame.clone()).is_ok());
    }

    fn metrics_update(&mut self) -> Utf8Bytes {
        let (metrics, recent) = self.feed.numbers(RECENT_IN_UPDATE).unwrap_or_default();
        frames::metrics_update(&self.view(&metrics, &recent))
    }

    fn view<'a>(&self, metrics: &'a DashboardMetrics, recent: &'a [EventRow]) -> View<'a> {
        View { metrics, recent, clients: self.clients.len(), uptime: self.started.elapsed() }
    }

    /// Gives a client frames; who has no room for them is forgotten, and told by its mailbox.
    fn put(&mut self, id: ClientId, frames: impl IntoIterator<Item = Utf8Bytes>) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        if frames.into_iter().any(|frame| client.mailbox.put(frame).is_err()) {
            self.clients.remove(&id);
        }
    }
}

fn frames_for(channels: Channels, rows: &[EventRow], encoded: &[(Channels, String)]) -> Vec<Utf8Bytes> {
    let wanted = encoded.iter().filter(|(channel, _)| channels.has(*channel)).map(|(_, row)| row.as_str());
    let mut frames = frames::new_events(wanted);
    if channels.has(Channels::NOTIFICATIONS) {
        frames.extend(rows.iter().filter_map(frames::notification));
    }
    frames
}

fn encode(row: &EventRow) -> String {
    // Nine plain columns always serialise.
    serde_json::to_string(row).unwrap_or_default()
}
