//! The service as a whole: what its requests share, and its life from start to end.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use service_common::supervisor::{Inherited, Supervisor};
use service_common::{Env, Limits, Listener, Shutdown, guard, log};

use crate::cache::Cache;
use crate::config::Config;
use crate::dispatch::dispatch;
use crate::pool::Pool;
use crate::probe::Probe;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) cache: Cache,
    pub(crate) webhook: Arc<Probe>,
    pub(crate) websocket: Arc<Probe>,
    pub(crate) supervisor: Supervisor,
    pub(crate) started: Instant,
}

/// Serves until the end is asked for.
pub(crate) async fn serve(inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let config = Config::read(Env::from_process())?;
    let shutdown = Shutdown::on_signals()?;
    let listener = Listener::inherit_or_bind(config.listen)?;
    guard::refuse_open_service(listener.address().ip(), config.token.as_ref(), ("API_BIND", "API_TOKEN"))?;
    let service = Arc::new(Service {
        pool: Pool::start(&config.database)?,
        cache: Cache::new(config.cache),
        webhook: Probe::start(config.webhook.clone()),
        websocket: Probe::start(config.websocket.clone()),
        supervisor: Supervisor::new(inherited)?,
        started: Instant::now(),
        config,
    });
    let app = Router::new().fallback(dispatch).with_state(service);
    service_common::serve(listener, app, Limits::default(), shutdown).await;
    log::info(format_args!("ended"));
    Ok(())
}
