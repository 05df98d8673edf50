//! The order to reload: which spec the new run gets, and which one holds if that run fails.
//!
//! The control plane leaves the new spec under another name. It takes the place of the present one when the order comes,
//! and that one is kept aside until the new run serves; if it does not come to that, it holds again. So whoever reads
//! spec.json after a crash starts what worked last. Each step is one rename: a keeper that is killed between two of them
//! leaves something that its successor settles ([`Keeper::settle_spec`]).

use super::event_loop::Keeper;
use crate::model::machine::Event;
use crate::model::phase::{Goal, Phase};
use crate::os::fault;
use crate::wire::keeper::Reply;

impl Keeper {
    /// Carries out the order; `before` is the latest run.
    pub(super) fn reload(&mut self, before: u64) -> Reply {
        let name = &self.spec.name;
        if self.instance.is_being_replaced() {
            let message = format!("{name} is being reloaded already: wait until that is over");
            return Reply::Error { message };
        }
        let had_sockets = !self.spec.listen.is_empty();
        if let Err(message) = self.take_next_spec() {
            return Reply::Error { message };
        }
        let inherits = had_sockets && !self.spec.listen.is_empty();
        let serves = matches!(self.instance.phase, Phase::Online { .. });
        if !(inherits && serves) {
            self.keep_spec(); // it is an ordinary restart
        }
        let mut reply = self.order(Goal::Up, if inherits { Event::Reload } else { Event::Restart }, before);
        if let Reply::Done { note, .. } = &mut reply
            && serves
            && !inherits
        {
            *note = Some(format!(
                "{}: restarted, with a gap: without `listen` in ecosystem.toml a second run could not have its port \
                 while the first one serves",
                self.spec.name
            ));
        }
        reply
    }

    fn take_next_spec(&mut self) -> Result<(), String> {
        let taken = self.store.take_next_spec();
        if !taken.map_err(|error| format!("cannot take the spec for the reload: {error}"))? {
            return Ok(()); // the new run gets the same
        }
        fault::point("between spec and reload");
        self.spec_is_new = true;
        match self.reread(0) {
            Reply::Error { message } => {
                self.restore_spec();
                Err(message)
            }
            _ => Ok(()),
        }
    }

    /// When nothing is being replaced any more: the new spec holds, unless its run was refused.
    pub(super) fn settle_spec(&mut self) {
        if !self.spec_is_new || self.instance.is_being_replaced() {
            return;
        }
        fault::point("between takeover and spec");
        let refused = self.instance.run().is_some_and(|run| run.number < self.instance.runs);
        if refused {
            self.restore_spec()
        } else {
            self.keep_spec()
        }
        self.close_unwanted_sockets();
    }

    /// The new spec holds, whatever comes.
    pub(super) fn keep_spec(&mut self) {
        if std::mem::take(&mut self.spec_is_new) {
            self.store.keep_spec();
        }
    }

    fn restore_spec(&mut self) {
        self.spec_is_new = false;
        let restored = self.store.restore_spec().map_err(|error| error.to_string());
        let read = restored.and_then(|()| match self.reread(0) {
            Reply::Error { message } => Err(message),
            _ => Ok(()),
        });
        if let Err(message) = read {
            self.log(&format!("cannot go back to the spec from before the reload: {message}"));
        }
    }
}
