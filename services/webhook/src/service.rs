//! The service as a whole: what its requests share, and its life from start to end.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use events::{Known, Logger};
use service_common::{Env, Limits, Listener, Shutdown, guard, log};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::delivery::{Desk, LAST_REQUEST};
use crate::graph::Client;
use crate::receive::LARGE_BODIES;
use crate::routes;

/// How long the start waits for the ids that the database knows; later they are added when they come.
const KNOWN_IDS: Duration = Duration::from_secs(2);
/// Open requests and waiting events share the five seconds that an end takes at most …
const GRACE: Duration = Duration::from_secs(2);
const FLUSH: Duration = Duration::from_secs(3);
/// … unless a delivery waits for the platform: its own limit is a little shorter, so that it ends by itself.
const DELIVERIES: Duration = LAST_REQUEST.saturating_add(Duration::from_millis(500));

/// What all requests share.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) logger: Arc<Logger>,
    pub(crate) desk: Desk,
    pub(crate) large_bodies: Semaphore,
    pub(crate) messages: Messages,
    pub(crate) started: Instant,
    pub(crate) shutdown: Shutdown,
}

/// What came in so far.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) received: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) rejected_signature: AtomicU64,
    pub(crate) ignored: AtomicU64,
}

/// Serves until the end is asked for. The flags are those of [`crate::ABOUT`].
///
/// # Errors
/// When the configuration or the address cannot be used; everything else is lived with.
pub async fn serve(flags: Vec<&'static str>) -> Result<(), Box<dyn Error>> {
    let (config, delivery) = Config::read(Env::from_process(), &flags)?;
    let client = Client::new(delivery.access)?;
    let shutdown = Shutdown::on_signals()?;
    let listener = Listener::inherit_or_bind(config.listen)?;
    let signed = config.app_secret.as_ref();
    guard::refuse_open_service(listener.address().ip(), signed, ("WEBHOOK_BIND", "WHATSAPP_APP_SECRET"))?;
    if signed.is_none() {
        log::error(format_args!("requests need no signature: for development only"));
    }
    let (database, spool) = (config.database.clone(), config.spool.clone());
    let (logger, known) = Logger::start(database, spool, |line| log::error(format_args!("{line}")))?;
    let logger = Arc::new(logger);
    let service = Arc::new(Service {
        config,
        desk: Desk::new(delivery.plan, client, Arc::clone(&logger), shutdown.clone()),
        logger,
        large_bodies: Semaphore::new(LARGE_BODIES),
        messages: Messages::default(),
        started: Instant::now(),
        shutdown: shutdown.clone(),
    });
    wait_for_known_ids(&known);

    let limits = Limits { grace: GRACE, ..Limits::default() };
    service_common::serve(listener, routes::router(Arc::clone(&service)), limits, shutdown).await;

    service.desk.end(DELIVERIES).await;
    let left = service.logger.close(FLUSH);
    if left > 0 {
        log::error(format_args!("{left} messages could not be written before the end"));
    }
    log::info(format_args!("ended"));
    Ok(())
}

/// Repeats must be known before the first request; but a database that is away must not keep us from serving.
fn wait_for_known_ids(known: &Receiver<Known>) {
    if let Ok(Known::NotYet) | Err(RecvTimeoutError::Timeout) = known.recv_timeout(KNOWN_IDS) {
        log::error(format_args!(
            "serving without the ids of earlier messages until the database can be read"
        ));
    }
}
