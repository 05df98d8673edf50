//! Where all parts of the control plane say that somebody may be stalled, and where [`super::sentinel`] hears it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::name::ServiceName;

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The warden.
    Warden,
    /// The keeper of a service.
    Keeper(ServiceName),
}

/// What was said since it was last heard.
#[derive(Debug, Default)]
pub struct Alarm {
    /// Who is to be looked at, and whether because of a question without an answer.
    said: Mutex<BTreeMap<Whom, bool>>,
    bell: Notify,
}

impl Alarm {
    /// It was asked something and did not answer in time.
    pub fn unanswered(&self, whom: Whom) {
        self.say(whom, true);
    }

    /// Something has happened to it.
    pub fn look_at(&self, whom: Whom) {
        self.say(whom, false);
    }

    fn say(&self, whom: Whom, unanswered: bool) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        *said.entry(whom).or_default() |= unanswered;
        drop(said);
        self.bell.notify_one();
    }

    /// Waits until something is said, and takes it.
    pub async fn heard(&self) -> BTreeMap<Whom, bool> {
        self.bell.notified().await;
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
