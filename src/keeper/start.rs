//! Starting a run: prepare, create, record, let go.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use super::cell;
use super::child::{self, Child, Handed, RunAs};
use super::event_loop::Keeper;
use super::log::channels::Channels;
use super::log::pump::Command;
use super::node;
use crate::model::failure::{StartFailure, Step};
use crate::model::machine::{self, Event};
use crate::model::phase::Run;
use crate::model::spec::{Access, Ready};
use crate::os::cgroup::Cgroup;
use crate::os::spawn::{self, Held, Plan};
use crate::os::{clock, fault, process, wait};

/// Runs whose output may wait for the disk.
const MOST_EMPTYING: usize = 8;
/// What a run has left in the queue of its notify socket, at most; the kernel holds net.unix.max_dgram_qlen.
const MOST_OLD_NOTICES: usize = 1000;
/// sockaddr_un takes this many bytes, and the service's library will not know our way round it.
const LONGEST_SOCKET_PATH: usize = 107;

impl Keeper {
    /// Starts the process of run `number`.
    pub(super) fn start(&mut self, number: u64) -> Result<Run, StartFailure> {
        let run_as = RunAs::find(&self.spec)?;
        let program = child::find_program(&self.spec)?;
        self.open_sockets(&run_as)?;
        self.make_room()?;
        let (channels, mut cgroup) = match self.next.take() {
            Some((channels, cgroup)) if channels.run == number => (channels, cgroup),
            other => {
                self.next = other;
                self.forget_next();
                self.prepare(number, &run_as)?
            }
        };
        let log_failed = |error: std::io::Error| {
            StartFailure::from_io(Step::Log, &self.own.run_dir(number).to_string_lossy(), &error)
        };
        let ends = channels.open_service().and_then(|output| Ok((output, channels.for_pump()?)));
        let (output, for_pump) = match ends {
            Ok(ends) => ends,
            Err(error) => {
                channels.remove();
                self.stale_cgroups.extend(cgroup);
                return Err(log_failed(error));
            }
        };
        self.pump.tell(Command::Attach(vec![(number, for_pump)]));
        self.emptying.push_back(channels);
        let output = [output[0].as_fd(), output[1].as_fd()];
        let result = self.bear(number, &program, &run_as, output, &mut cgroup);
        self.stale_cgroups.extend(cgroup);
        if result.is_err() {
            self.close_old_views();
            self.pump.tell(Command::Finish { run: number });
        }
        result
    }

    /// Makes the view of a run, if the service may have one, and returns the service's end. That it cannot be made is
    /// no reason not to start.
    fn open_view(&mut self, number: u64) -> Option<OwnedFd> {
        if self.spec.access != Access::View {
            return None;
        }
        match self.sockets.open_view(number) {
            Ok(service) => Some(service),
            Err(error) => {
                self.log(&format!("run {number} cannot ask how the services are: {error}"));
                None
            }
        }
    }

    /// When a run is over, so is its view.
    pub(super) fn close_old_views(&mut self) {
        let closed = self.sockets.close_views_but(&self.living());
        self.clients.take_back(closed);
    }

    /// While the disk takes nothing, each run leaves FIFOs that are still full. Beyond a few, a critical service
    /// loses the oldest output rather than a start; another one waits.
    fn make_room(&mut self) -> Result<(), StartFailure> {
        if self.emptying.len() < MOST_EMPTYING {
            return Ok(());
        }
        if !self.spec.critical {
            let cause = format!("the output of {} runs waits for the disk", self.emptying.len());
            let hint = "make room on the disk, or see why it does not answer".to_owned();
            return Err(StartFailure::new(
                Step::Log,
                &self.spec.log.dir.to_string_lossy(),
                cause,
                Some(hint),
            ));
        }
        let mut over =
            self.emptying.iter().map(|channels| channels.run).filter(|run| self.child(*run).is_none());
        if let Some(oldest) = over.next() {
            self.log(&format!("the disk takes nothing: the output of run {oldest} is dropped"));
            self.pump.tell(Command::Drop { run: oldest });
            if let Some(channels) = self.detach(oldest) {
                channels.remove();
            }
        }
        Ok(())
    }

    /// Creates the process, records it, lets it go. It has taken the cgroup then; one that is left is not needed.
    fn bear(
        &mut self,
        number: u64,
        program: &std::path::Path,
        run_as: &RunAs,
        output: [std::os::fd::BorrowedFd<'_>; 2],
        cgroup: &mut Option<Cgroup>,
    ) -> Result<Run, StartFailure> {
        let notify = matches!(self.spec.ready, Ready::Notify { .. }).then(|| self.own.notify_sock());
        let node = self.node_options(program)?;
        let view = self.open_view(number);
        let listen = self.sockets.listening(&self.spec.listen).collect();
        let nproc = child::most_tasks(&self.spec, run_as, cgroup.as_ref());
        let writable = child::writable(&self.spec, &self.own.run_dir(number))?;
        let writable = writable.as_ref().map(AsFd::as_fd);
        let handed =
            Handed { notify, output, listen, view: view.as_ref().map(AsFd::as_fd), writable, nproc, node };
        let plan = child::plan(&self.spec, program, run_as, number, handed)?;
        let held = hold(&plan, cgroup, &mut self.stale_cgroups)?;
        drop(plan);
        drop(view); // from now on the service's end is the service's alone
        fault::point("between fork and record");
        // While the child clears up, and before it can write its first byte: three processes hold its FIFOs.
        if let Some(channels) = self.emptying.back() {
            self.clients.hand_over(channels.held());
        }
        if let Some(view) = self.sockets.view(number) {
            self.clients.hand_over([view].into_iter());
        }
        self.forget_old_notices();
        let pid = held.pid;
        let ticks = match process::start_ticks(pid) {
            Ok(ticks) => ticks,
            Err(error) => {
                give_up(held);
                return Err(StartFailure::from_io(Step::Record, "/proc", &error));
            }
        };
        let now = clock::now();
        let run = Run { number, pid, ticks, started: now.mono };
        // The record says what will be true once the process is let go.
        let (recorded, _) = machine::step(&self.spec, self.instance.clone(), Event::Spawned(run), now, 0.5);
        if let Err(error) = self.try_save(recorded, cgroup.as_ref()) {
            // Without a record a second one could be started beside it: it is not let go, and vanishes.
            give_up(held);
            return Err(StartFailure::from_io(Step::Record, &self.own.record(0).to_string_lossy(), &error));
        }
        fault::point("between record and go");
        match held.let_go(&program.to_string_lossy(), &self.spec.cwd.to_string_lossy(), &run_as.what) {
            Ok(pidfd) => {
                fault::point("between go and record");
                self.children.push(Child::started(run, pidfd, cgroup.take()));
                self.watch_memory();
                Ok(run)
            }
            Err((pidfd, failure)) => {
                wait_for_end(&pidfd);
                let _ = wait::reap(pid);
                Err(failure)
            }
        }
    }

    /// With a preload, where Node runs a program that dogwatch holds sockets for.
    fn node_options(&self, program: &std::path::Path) -> Result<Option<String>, StartFailure> {
        if self.spec.listen.is_empty() || !node::runs(program) {
            return Ok(None);
        }
        let path = self.own.node_preload();
        node::with_preload(self.spec.env.get(node::VARIABLE).map(String::as_str), &path)
            .map(Some)
            .map_err(|error| StartFailure::from_io(Step::Listen, &path.to_string_lossy(), &error))
    }

    /// What is still to be read was said by an earlier run.
    fn forget_old_notices(&mut self) {
        // Bounded: who floods the socket is not to be outrun.
        for _ in 0..MOST_OLD_NOTICES {
            if self.sockets.next_notice().is_none() {
                return;
            }
        }
    }

    pub(super) fn open_sockets(&mut self, run_as: &RunAs) -> Result<(), StartFailure> {
        let deaf = self.sockets.close_deaf();
        self.clients.take_back(deaf);
        let before: Vec<String> = self.sockets.held().map(|(key, _)| key).collect();
        self.sockets.ensure(&self.spec.listen)?;
        if !self.instance.is_being_replaced() {
            self.close_unwanted_sockets();
        }
        let path = self.own.notify_sock();
        if matches!(self.spec.ready, Ready::Notify { .. }) {
            if path.as_os_str().len() > LONGEST_SOCKET_PATH {
                let cause = format!("a NOTIFY_SOCKET has at most {LONGEST_SOCKET_PATH} characters");
                let hint = "choose a shorter folder with --home".to_owned();
                return Err(StartFailure::new(Step::Listen, &path.to_string_lossy(), cause, Some(hint)));
            }
            let fresh = self
                .sockets
                .ensure_notify(&path, run_as.owner)
                .map_err(|error| StartFailure::from_io(Step::Listen, &path.to_string_lossy(), &error))?;
            if fresh && let Some(fd) = self.sockets.notify() {
                self.clients.hand_over([("notify".to_owned(), fd.as_fd())].into_iter());
            }
        }
        for fresh in self.sockets.held().filter(|(key, _)| !before.contains(key) && key != "notify") {
            self.clients.hand_over([fresh].into_iter());
        }
        Ok(())
    }

    /// The run that a reload shall replace may go on, and needs its sockets then: so only when nothing is being replaced.
    pub(super) fn close_unwanted_sockets(&mut self) {
        let closed = self.sockets.close_but(&self.spec.listen);
        self.clients.take_back(closed);
    }

    /// Makes FIFOs and cgroup of the next run ahead of time; a failure shows when it is needed.
    pub(super) fn prepare_next(&mut self) {
        let number = self.instance.runs + 1;
        if let Ok(run_as) = RunAs::find(&self.spec)
            && let Ok(prepared) = self.prepare(number, &run_as)
        {
            self.next = Some(prepared);
        }
    }

    /// Another user's service reaches its FIFOs and its notify socket by their paths: it may pass through the
    /// folders, not read them.
    fn let_pass(&self) {
        let mut folders = vec![self.paths.run.clone(), self.paths.services(), self.own.dir.clone()];
        if self.paths.run.parent() == self.paths.state.parent() {
            folders.extend(self.paths.run.parent().map(std::path::Path::to_owned)); // the one of --home
        }
        for folder in folders {
            let mode = std::fs::metadata(&folder).map_or(0o700, |about| about.permissions().mode());
            if mode & 0o011 != 0o011 {
                let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o011));
            }
        }
    }

    fn prepare(&mut self, number: u64, run_as: &RunAs) -> Result<(Channels, Option<Cgroup>), StartFailure> {
        if run_as.owner.is_some() {
            self.let_pass();
        }
        let (merge, critical) = (self.spec.log.merge, self.spec.critical);
        let channels =
            Channels::prepare(&self.own, number, merge, run_as.owner, critical).map_err(|error| {
                // Its FIFOs are to be its user's.
                if run_as.owner.is_some() && error.raw_os_error() == Some(libc::EPERM) {
                    return StartFailure::from_io(Step::Become, &run_as.what, &error);
                }
                StartFailure::from_io(Step::Log, &self.own.run_dir(number).to_string_lossy(), &error)
            })?;
        Ok((channels, self.make_cgroup(number)))
    }

    /// A fresh cgroup for a run, where one can be made.
    fn make_cgroup(&mut self, number: u64) -> Option<Cgroup> {
        let all = self.cgroup_root.as_ref()?.join("svc");
        match cell::make(&all, &self.spec, number) {
            Ok(cgroup) => Some(cgroup),
            Err(error) => {
                self.log(&format!("no cgroup in {}: {error}; run {number} goes on without", all.display()));
                // What is only full, or short of memory, may be better at the next run.
                let for_good =
                    [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
                if for_good.contains(&error.kind()) {
                    self.cgroup_root = None;
                }
                None
            }
        }
    }
}

/// Creates the process in its cgroup; where that is impossible, without one. When there are too many processes
/// it is not tried again outside the limits that say so.
fn hold(
    plan: &Plan<'_>,
    cgroup: &mut Option<Cgroup>,
    unusable: &mut Vec<Cgroup>,
) -> Result<Held, StartFailure> {
    let failed = |error: std::io::Error| StartFailure::from_io(Step::Fork, "", &error);
    match spawn::hold(plan, cgroup.as_ref().map(AsFd::as_fd)) {
        Ok(held) => Ok(held),
        Err(error) => match error.raw_os_error() {
            Some(libc::EACCES | libc::EBUSY | libc::EOPNOTSUPP | libc::ENODEV | libc::ENOENT)
                if cgroup.is_some() =>
            {
                unusable.extend(cgroup.take());
                spawn::hold(plan, None).map_err(failed)
            }
            _ => Err(failed(error)),
        },
    }
}

/// The process is not let go, and vanishes.
fn give_up(held: Held) {
    let pid = held.pid;
    wait_for_end(&held.give_up());
    let _ = wait::reap(pid);
}

/// A child that failed on its way to exec ends at once.
fn wait_for_end(pidfd: &process::PidFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(1000u16));
}
