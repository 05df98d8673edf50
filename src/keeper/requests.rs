//! What a keeper is asked, and what it answers.

use std::time::Duration;

use super::cell;
use super::event_loop::Keeper;
use super::log::channels::Channels;
use super::log::pump::Command;
use crate::model::end::Why;
use crate::model::machine::Event;
use crate::model::phase::{Goal, Phase};
use crate::os::{clock, fault, tree};
use crate::wire::keeper::{Op, Reply};
use crate::wire::status::{Other, ServiceStatus, log_files};
use crate::wire::{PROGRAM, VERSION};

/// Beyond the stop's own timeout, for the last bytes of the log.
const RETIRE_EXTRA: Duration = Duration::from_secs(3);

impl Keeper {
    /// Reads and answers all requests.
    pub(super) fn on_clients(&mut self) {
        if let Err(error) = self.clients.accept(clock::mono()) {
            self.log(&format!("cannot accept a connection: {error}; it waits"));
        }
        for asked in self.clients.receive() {
            self.busy = true;
            if let Some(reply) = self.answer(asked.by, asked.op) {
                self.clients.answer(asked.by, &reply);
            }
        }
    }

    fn answer(&mut self, by: u64, op: Op) -> Option<Reply> {
        let before = self.instance.runs;
        match op {
            Op::Status => Some(Reply::Status(Box::new(self.status()))),
            Op::Ping => Some(Reply::done(before)),
            Op::Watch => {
                self.clients.watch(by);
                Some(Reply::Status(Box::new(self.status())))
            }
            Op::Hold => {
                let all = self.emptying.iter().flat_map(|channels| channels.held());
                self.clients.hold(by, all.chain(self.sockets.held()));
                for child in self.children.iter().filter(|child| child.is_asking()) {
                    let pid = child.run.pid;
                    self.clients.answer(by, &Reply::WhatOf { pid });
                }
                None
            }
            Op::Orphan { pid, status } => {
                for child in &mut self.children {
                    child.ended_like(pid, status, clock::mono());
                }
                None
            }
            Op::Exec { program } => self.ask_to_exec(by, program),
            Op::Flush => {
                fault::point("asked to flush");
                self.flushing.push(by);
                self.pump.tell(Command::Flush);
                None
            }
            Op::Reopen => {
                self.reopening.push(by);
                self.pump.tell(Command::Reopen);
                None
            }
            Op::Reread => Some(self.reread(before)),
            Op::Start => Some(self.order(Goal::Up, Event::Start, before)),
            Op::Up => {
                let phase = &self.instance.phase;
                let tried =
                    matches!(phase, Phase::BackingOff { .. }) || (self.is_over() && *phase == Phase::Stopped);
                let event = if tried && self.goal == Goal::Up { Event::Due } else { Event::Start };
                Some(self.order(Goal::Up, event, before))
            }
            Op::Stop => Some(self.order(Goal::Down, Event::Stop, before)),
            Op::Restart => match self.reread(before) {
                Reply::Error { message } => Some(Reply::Error { message }),
                _ => Some(self.order(Goal::Up, Event::Restart, before)),
            },
            Op::Reload => Some(self.reload(before)),
            Op::Retire => {
                self.tell(Event::Stop);
                self.retiring = Some(clock::mono().plus(self.spec.stop.timeout + RETIRE_EXTRA));
                Some(Reply::done(before))
            }
        }
    }

    /// Writes the goal down, then acts.
    pub(super) fn order(&mut self, goal: Goal, event: Event, before: u64) -> Reply {
        if matches!(event, Event::Stop | Event::Restart) {
            self.keep_spec(); // it calls a reload off, but the entry is the one that is wanted
        }
        let written = self.store.set_goal(goal);
        self.goal = goal;
        self.retiring = None;
        self.log(&format!("asked to {}", format!("{event:?}").to_lowercase()));
        self.tell(event);
        let not_persisted = written.err().map(|error| error.to_string());
        Reply::Done { run: before, not_persisted, note: None }
    }

    pub(super) fn reread(&mut self, run: u64) -> Reply {
        match self.store.spec() {
            Ok(file) if file.spec.name == self.spec.name => {
                if file.spec.log_policy() != self.spec.log_policy() {
                    self.pump.tell(Command::Policy(file.spec.log_policy()));
                }
                if file.spec != self.spec {
                    // Its FIFOs may belong to another user, or be too many or too few; its cgroup may stand in another
                    // compartment, or have other limits.
                    self.forget_next();
                    for cgroup in self.children.iter().filter_map(|child| child.cgroup.as_ref()) {
                        cell::limit_memory(cgroup, &file.spec);
                    }
                }
                self.spec = file.spec;
                self.limit_overridden = file.limit_overridden;
                self.watch_memory();
                self.published = None;
                Reply::done(run)
            }
            Ok(file) => Reply::Error { message: format!("the spec on disk is for {}", file.spec.name) },
            Err(message) => Reply::Error { message },
        }
    }

    /// The service, now.
    pub(super) fn status(&mut self) -> ServiceStatus {
        let now = clock::mono();
        let child = self.main_child().filter(|child| child.is_alive());
        let rise = child.and_then(|child| child.trend.rise());
        let limit = self.spec.memory.map(|memory| memory.limit);
        let limit_in = limit.and_then(|limit| child?.trend.until(limit));
        let usage = child.map(|child| tree::usage(&child.members()));
        let started = child.map(|child| child.run.started);
        let pid = child.map(|child| child.run.pid);
        let cpu = usage.zip(started).and_then(|(usage, started)| self.cpu.of(usage, started, now));
        let until = match self.instance.phase {
            Phase::BackingOff { until } => Some(until.since(now).as_millis() as u64),
            _ => None,
        };
        let end = self.instance.last_end.clone();
        let hint = end.as_ref().and_then(|end| match &end.why {
            Why::StartFailed(failure) => failure.hint.clone(),
            _ => None,
        });
        // The FIFOs are those of the run, whatever the entry says by now.
        let channels = self.instance.run().and_then(|run| self.channels(run.number));
        let merged = channels.map_or(self.spec.log.merge, Channels::are_merged);
        let [log_out, log_error] = log_files(&self.spec, merged);
        ServiceStatus {
            v: VERSION,
            name: self.spec.name.clone(),
            compartment: self.spec.compartment.clone(),
            critical: self.spec.critical,
            goal: self.goal,
            state: self.instance.state(),
            pid,
            run: self.instance.run().map_or(self.instance.runs, |run| run.number),
            beside: self.instance.beside.as_ref().and_then(Other::of),
            reload_failure: self.instance.refused.as_ref().map(|refused| refused.end.to_string()),
            refused: self.instance.refused.as_ref().map(|refused| refused.end.clone()),
            uptime_ms: started.map(|started| now.since(started).as_millis() as u64),
            restarts: self.instance.restarts,
            unstable: self.instance.unstable,
            next_start_ms: until,
            reason: end.as_ref().map(ToString::to_string),
            hint,
            last_end: end,
            memory_bytes: usage.map(|usage| usage.resident),
            memory_limit_bytes: limit,
            memory_bytes_per_minute: rise.map(|rise| rise.bytes_per_minute),
            memory_limit_in_ms: limit_in.map(|left| left.as_millis() as u64),
            cpu_percent: cpu,
            processes: usage.map(|usage| usage.processes),
            listen: self.spec.listen.clone(),
            command: self.spec.command.clone(),
            cwd: self.spec.cwd.clone(),
            user: self.spec.user.clone(),
            log_out,
            log_error,
            log_dress: self.spec.log.dress.clone(),
            log: self.log_state.clone(),
            sinks: Vec::new(),
            keeper_pid: nix::unistd::getpid().as_raw(),
            keeper_version: Some(PROGRAM.to_owned()),
            keeper_differs: false,
            fingerprint: self.spec.fingerprint(),
            changed: false,
            limit_overridden: self.limit_overridden,
            incidents: None,
        }
    }
}
