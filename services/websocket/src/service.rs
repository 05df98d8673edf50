//! The service as a whole: what its connections share, and its life from start to end.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use service_common::{Env, Limits, Listener, Shutdown, guard, log};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::handshake;
use crate::hub::Hub;

/// How long clients have to take the news that the service ends.
const GRACE: Duration = Duration::from_secs(2);

/// What all connections share.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    /// One for each client there may be.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) shutdown: Shutdown,
}

/// Serves until the end is asked for.
pub(crate) async fn serve(_flags: Vec<&'static str>) -> Result<(), Box<dyn Error>> {
    let config = Config::read(Env::from_process())?;
    let shutdown = Shutdown::on_signals()?;
    let listener = Listener::inherit_or_bind(config.listen)?;
    guard::refuse_open_service(listener.address().ip(), config.token.as_ref(), ("WS_BIND", "WS_TOKEN"))?;
    let places = config.max_clients;
    let service = Arc::new(Service {
        hub: Hub::start(config.database.clone())?,
        places: Arc::new(Semaphore::new(places as usize)),
        shutdown: shutdown.clone(),
        config,
    });
    let app = Router::new().fallback(handshake::dispatch).with_state(Arc::clone(&service));
    let limits = Limits { grace: Duration::from_millis(500), ..Limits::default() };
    service_common::serve(listener, app, limits, shutdown).await;
    // The clients heard of it at the same moment; here it is only waited for them.
    if tokio::time::timeout(GRACE, service.places.acquire_many(places)).await.is_err() {
        log::error(format_args!("ended without a farewell to clients that did not read"));
    }
    log::info(format_args!("ended"));
    Ok(())
}
