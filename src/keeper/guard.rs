//! When warden and control plane are both gone, and no systemd brings them back, a keeper starts a warden.
//!
//! All keepers notice at the same moment. Each waits a little longer than the one before it in the order of
//! names; the locks decide, so that it does not matter when two try.

use std::time::Duration;

use crate::model::moment::Moment;
use crate::model::name::ServiceName;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::lock;
use crate::paths::Paths;

/// Grace for those who restart each other.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between the ranks.
const RANK: Duration = Duration::from_millis(50);
/// Until the next attempt, and the next look.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches for the time when nobody holds what the service needs.
#[derive(Debug, Default)]
pub struct Guard {
    due: Option<Moment>,
}

impl Guard {
    /// When to call [`Guard::check`] next.
    pub fn deadline(&self) -> Option<Moment> {
        self.due
    }

    /// To be called when time has come or connections have changed. Returns what was done, if anything.
    pub fn check(&mut self, held: bool, paths: &Paths, name: &ServiceName, now: Moment) -> Option<String> {
        if held {
            self.due = None;
            return None;
        }
        let due = *self.due.get_or_insert_with(|| now.plus(PATIENCE + RANK * rank(paths, name)));
        if now < due {
            return None;
        }
        self.due = Some(now.plus(AGAIN));
        if lock::holder(&paths.warden_lock()).is_some() || lock::holder(&paths.control_lock()).is_some() {
            return None; // somebody lives, and will connect
        }
        Some(match start_warden(paths) {
            Ok(pid) => format!("warden and control plane are gone: started a warden, pid {pid}"),
            Err(error) => {
                format!("warden and control plane are gone, and a warden cannot be started: {error}")
            }
        })
    }
}

fn start_warden(paths: &Paths) -> std::io::Result<i32> {
    let output = paths.own_fifo();
    let what = Launch {
        program: own_program()?,
        args: vec!["warden".into()],
        env: Vec::new(),
        inherit: Vec::new(),
        output: &output,
    };
    launch(&what).map(|(pid, _)| pid)
}

/// This service's place in the order of names.
pub(super) fn rank(paths: &Paths, name: &ServiceName) -> u32 {
    let entries = std::fs::read_dir(paths.services()).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().as_ref() < name.as_str()).count() as u32
}
