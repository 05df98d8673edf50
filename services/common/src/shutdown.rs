//! The one wish that ends a service: SIGTERM or SIGINT.

use std::io;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells everyone who holds a clone that the service shall end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGTERM and SIGINT from now on, and tells the supervisor when one arrives.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (wish, shutdown) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // Without a supervisor there is nobody to tell: that is no error.
            let _ = sd_notify::notify(&[NotifyState::Stopping]);
            let _ = wish.send(true);
            wish.closed().await;
        });
        Ok(Self(shutdown))
    }

    /// Has the end been asked for?
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the end has been asked for, at once if it already was.
    pub async fn requested(&self) {
        let mut wish = self.0.clone();
        // The sender lives until the wish was sent; a vanished sender means the runtime ends anyway.
        let _ = wish.wait_for(|asked| *asked).await;
    }
}
