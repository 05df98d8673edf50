//! While the pump works on the disk it holds a dead man's switch, which falls when the disk does not get on. So who has to
//! know of that sleeps until then: in peace nobody is woken.

use std::sync::Arc;
use std::time::Duration;

use crate::os::switch::Switch;

/// A pump that gets no further for this long is held up by its disk.
const PATIENCE: Duration = Duration::from_millis(500);

/// The hand of one stream on its switch, if it has one.
#[derive(Debug, Default)]
pub struct Hold {
    switch: Option<Arc<Switch>>,
    holds: bool,
}

impl Hold {
    /// From now on it is this one.
    pub fn take(&mut self, switch: Arc<Switch>) {
        self.switch = Some(switch);
    }

    /// There is something to do on the disk, which may take longer than it should.
    pub fn begin(&mut self) {
        if !std::mem::replace(&mut self.holds, true) {
            self.renew();
        }
    }

    /// The disk gets on.
    pub fn renew(&self) {
        if self.holds {
            // It cannot fail: a switch that is not held only falls too early.
            let _ = self.switch.as_ref().map(|switch| switch.hold(PATIENCE));
        }
    }

    /// Nothing is wanted of the disk any more.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.holds) {
            let _ = self.switch.as_ref().map(|switch| switch.lay_down());
        }
    }
}
