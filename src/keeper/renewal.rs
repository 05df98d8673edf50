//! A keeper becomes a newer program: the same process, still the parent of its service.
//!
//! Nothing is handed over that a successor after SIGKILL would not find as well, in the record and under the names of
//! FIFOs; it is only that nobody has to look for it. What others hold for the keeper it keeps itself too, through
//! exec, and those who hold or watch stay connected.
//!
//! The pump is asked to stand still first: exec ends its thread wherever that is, and would wait for a disk that
//! hangs. If it does not stand still in time, the upgrade of this keeper is put off.
//!
//! While one run takes over from another nothing of this is begun: the new program may be an older one, which knows
//! nothing of two runs. That ends by itself, so whoever asked asks again. What only this process has in memory, how the
//! service's memory and processor use have risen, is measured anew.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::event_loop::Keeper;
use super::log::channels::Channels;
use super::log::pump::Command;
use crate::model::moment::Moment;
use crate::model::phase::Beside;
use crate::os::exec::{Exec, exec};
use crate::os::{clock, fault};
use crate::wire::environment::{HELPER, LOCK_FD};
use crate::wire::keeper::Reply;

/// The pump stands still within this time.
const PARK: Duration = Duration::from_millis(200);

/// An exec that waits for the pump.
#[derive(Debug)]
pub struct Waiting {
    by: u64,
    program: PathBuf,
    /// Then it is put off.
    pub until: Moment,
}

impl Keeper {
    /// Asks the pump to stand still; the answer follows when it does, or does not. A refusal comes at once.
    pub(super) fn ask_to_exec(&mut self, by: u64, program: PathBuf) -> Option<Reply> {
        let refuse = |why: String| Some(Reply::Error { message: why });
        if let Some(obstacle) = self.obstacle_to_exec() {
            return Some(obstacle);
        }
        if self.exec.is_some() {
            return refuse("somebody else has just asked for it".to_owned());
        }
        // What only this process knows would be forgotten.
        if self.store.goal() != self.goal
            && let Err(error) = self.store.set_goal(self.goal)
        {
            return refuse(format!("its goal cannot be written down: {error}"));
        }
        if let Err(error) = self.try_save(self.instance.clone(), None) {
            return refuse(format!("its state cannot be written down: {error}"));
        }
        self.parks += 1;
        self.pump.tell(Command::Park(self.parks));
        self.exec = Some(Waiting { by, program, until: clock::mono().plus(PARK) });
        None
    }

    /// What has to be over first, or forbids it.
    fn obstacle_to_exec(&self) -> Option<Reply> {
        if self.retiring.is_some() {
            return Some(Reply::Error { message: "it is ending with its service".to_owned() });
        }
        if self.relief.deadline().is_some() || self.pump.keeps_any_end() {
            return Some(Reply::Later { message: "its log waits for the disk".to_owned() });
        }
        let message = match self.instance.beside.as_ref()? {
            Beside::Draining { .. } => "a reload is under way: the run that was replaced has not ended yet",
            Beside::Spawning { .. } | Beside::Starting { .. } | Beside::Failing { .. } => {
                "a reload is under way"
            }
        };
        Some(Reply::Later { message: message.to_owned() })
    }

    /// The pump stands still: now or never.
    pub(super) fn on_parked(&mut self, park: u64) {
        if park != self.parks {
            return; // that one was put off, and the pump has been told so since
        }
        let Some(waiting) = self.exec.take() else { return };
        // It may have been asked something else meanwhile.
        if let Some(obstacle) = self.obstacle_to_exec() {
            self.pump.tell(Command::Resume);
            self.clients.answer(waiting.by, &obstacle);
            return;
        }
        let error = self.become_program(&waiting.program);
        self.pump.tell(Command::Resume);
        let program = waiting.program.display();
        let message = format!("cannot become {program}: {error}");
        self.log(&message);
        self.clients.answer(waiting.by, &Reply::Error { message });
    }

    /// The pump has not stood still in time.
    pub(super) fn put_exec_off(&mut self) {
        let now = clock::mono();
        let Some(waiting) = self.exec.take_if(|waiting| waiting.until <= now) else { return };
        self.pump.tell(Command::Resume);
        let message = "the disk of its log does not answer".to_owned();
        self.log(&format!("the upgrade is put off: {message}"));
        self.clients.answer(waiting.by, &Reply::Error { message });
    }

    /// Returns only if it is impossible: why.
    fn become_program(&self, program: &Path) -> std::io::Error {
        fault::point("a keeper before exec");
        let mut inherit = vec![(LOCK_FD.to_owned(), self.lock.as_fd())];
        inherit.extend(self.clients.kept());
        inherit.extend(self.sockets.held());
        inherit.extend(self.emptying.iter().flat_map(Channels::held));
        let memo = self.compressor.pid().map(|pid| (HELPER, pid.to_string()));
        let args = vec!["keeper".into(), self.spec.name.as_str().into()];
        exec(Exec { program, args, inherit, memo: memo.into_iter().collect() })
    }
}
