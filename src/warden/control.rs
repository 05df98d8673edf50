//! The control plane's process: found, started again when it has ended, unless systemd does that.

use std::time::Duration;

use super::event_loop::{AGAIN, Warden};
use super::log;
use crate::model::moment::Moment;
use crate::os::launch::{Launch, launch, own_program};
use crate::os::process::PidFd;
use crate::os::{clock, lock, process};
use crate::wire::environment::MANAGED;

/// The control plane that a new warden finds missing may just be starting.
const CONTROL_GRACE: Duration = Duration::from_millis(300);

/// The control plane's process, and since when it is known.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) pid: i32,
    pub(super) process: PidFd,
    since: Moment,
}

impl Warden {
    pub(super) fn find_control(&mut self) {
        let now = clock::mono();
        let found = lock::holder(&self.paths.control_lock())
            .and_then(|holder| Some((holder.pid, process::open(&holder)?)));
        match found {
            Some((pid, process)) => {
                self.control = Some(Control { pid, process, since: now });
                self.control_due = None;
            }
            None => self.control_due = Some(now.plus(CONTROL_GRACE)),
        }
    }

    pub(super) fn on_control(&mut self) {
        let Some(control) = self.control.as_ref().filter(|control| control.process.has_ended()) else {
            return;
        };
        let now = clock::mono();
        let (pace, pause) = self.control_pace.after(now.since(control.since));
        self.control_pace = pace;
        self.control = None;
        if !self.quitting {
            self.control_due = Some(now.plus(pause));
            self.on_time();
        }
    }

    pub(super) fn start_control(&mut self, now: Moment) {
        self.control_due = None;
        if self.managed || self.quitting {
            return; // systemd does it
        }
        let Ok(file) = std::fs::read_to_string(self.paths.ecosystem()) else {
            return;
        };
        let output = self.paths.own_log();
        let started = own_program().and_then(|program| {
            launch(&Launch {
                program,
                args: vec!["control".into(), "-f".into(), file.trim_end().into()],
                env: vec![(MANAGED.to_owned(), String::new())],
                inherit: self.holdings.all(),
                output: &output,
            })
        });
        match started {
            Ok((pid, process)) => {
                log(&format!("the control plane has died: started a new one, pid {pid}"));
                self.control = Some(Control { pid, process, since: now });
            }
            Err(error) => {
                log(&format!("cannot start a control plane: {error}; trying again in a second"));
                self.control_due = Some(now.plus(AGAIN));
            }
        }
    }
}
