//! Every path below the run and state folders: the contract between the processes of dogwatch.
//!
//! ```text
//! run/                                    (0700; on tmpfs where the system has one)
//!   control.sock                          HTTP of the control plane
//!   warden.sock                           requests to the warden
//!   own.fifo                              on the way to dogwatch.log
//!   ecosystem                             absolute path of the ecosystem.toml in force
//!   forward.json                          which lines go to which sinks
//!   sinks/<sink>.json                     how a sink is
//!   svc/<name>/
//!     spec.json                           the checked entry, enough to run alone
//!     state.0 state.1                     state records, written in turn
//!     keeper.sock notify.sock
//!     {out,error}.source                  whose line a log file ends with, while there are two runs
//!     {out,error}.dropped                 what of a stream's output was dropped
//!     {out,error}.dressed                 what is on its way into a dressed log
//!     incidents.json                      how often its keeper was stalled, and what that has cost
//!     <instance>.<run>/{out,err}.{fifo,stage}
//! state/                                  (0700; on disk)
//!   lock/control.lock warden.lock upgrade.lock <name>.keeper.lock <sink>.sink.lock
//!   upgrade.json                          while an upgrade is under way, or was interrupted
//!   goal/<name>                           what the operator wants
//!   sinks/<sink>/<name>-{out,error}       how far a stream has come in a sink
//! ```

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::name::ServiceName;

/// A folder of this name in the current one is the home of a dogwatch of its own ([`home_of`]).
pub const LOCAL_HOME: &str = ".dogwatch";

/// The home that belongs to the folder `cwd`: `.dogwatch` in it, where a dogwatch runs or ran (`make run` makes
/// it). All commands given in that folder mean that one, unless they name another home. Only a home of user
/// `euid` counts: nobody can lead another user's commands to a dogwatch of his own.
pub fn home_of(cwd: &Path, euid: u32) -> Option<PathBuf> {
    let home = cwd.join(LOCAL_HOME);
    let own =
        |folder: &Path| std::fs::metadata(folder).is_ok_and(|about| about.is_dir() && about.uid() == euid);
    (own(&home) && own(&Paths::below(&home).run)).then_some(home)
}

/// The three folders of one dogwatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What lives as long as the boot.
    pub run: PathBuf,
    /// What survives a reboot.
    pub state: PathBuf,
    /// dogwatch's own log.
    pub log: PathBuf,
}

/// What of the environment decides where things are.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// `--home`, else DOGWATCH_HOME, else the home of the current folder ([`home_of`]); relative to `cwd`.
    pub home_flag: Option<PathBuf>,
    /// Effective user id.
    pub euid: u32,
    /// $HOME.
    pub home: Option<PathBuf>,
    /// $XDG_RUNTIME_DIR.
    pub xdg_runtime: Option<PathBuf>,
    /// The folder that a relative home is relative to.
    pub cwd: PathBuf,
}

impl Paths {
    /// The folders for these surroundings: below the home that was named; else the system's for root, who
    /// ignores XDG_*; else the user's.
    ///
    /// # Errors
    /// A sentence, when a user without $HOME names no home, or when a path is not UTF-8 text.
    pub fn resolve(around: &Surroundings) -> Result<Paths, String> {
        let paths = Paths::find(around)?;
        let other = [&paths.run, &paths.state, &paths.log].into_iter().find(|path| path.to_str().is_none());
        other.map_or(Ok(()), |path| {
            Err(format!(
                "cannot keep anything in {}: the path is not UTF-8 text\n  name another folder: dogwatch --home DIR",
                path.display()
            ))
        })?;
        Ok(paths)
    }

    fn find(around: &Surroundings) -> Result<Paths, String> {
        if let Some(home) = &around.home_flag {
            return Ok(Paths::below(&around.cwd.join(home)));
        }
        if around.euid == 0 {
            return Ok(Paths {
                run: "/run/dogwatch".into(),
                state: "/var/lib/dogwatch".into(),
                log: "/var/log/dogwatch".into(),
            });
        }
        let Some(home) = &around.home else {
            return Err(
                "cannot tell where to keep state: HOME is not set\n  name a folder: dogwatch --home DIR"
                    .into(),
            );
        };
        let state = home.join(".local/state/dogwatch");
        let run = match &around.xdg_runtime {
            Some(runtime) => runtime.join("dogwatch"),
            None => state.join("run"),
        };
        Ok(Paths { run, state, log: home.join(".local/share/dogwatch/log") })
    }

    /// All three below one folder, as `--home` has it.
    pub fn below(home: &Path) -> Paths {
        Paths { run: home.join("run"), state: home.join("state"), log: home.join("log") }
    }

    /// HTTP of the control plane.
    pub fn control_sock(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// Requests to the warden.
    pub fn warden_sock(&self) -> PathBuf {
        self.run.join("warden.sock")
    }

    /// Names the ecosystem.toml in force.
    pub fn ecosystem(&self) -> PathBuf {
        self.run.join("ecosystem")
    }

    /// Held by the one control plane.
    pub fn control_lock(&self) -> PathBuf {
        self.state.join("lock/control.lock")
    }

    /// Held by the one warden.
    pub fn warden_lock(&self) -> PathBuf {
        self.state.join("lock/warden.lock")
    }

    /// Held by the one roll-out of an upgrade.
    pub fn upgrade_lock(&self) -> PathBuf {
        self.state.join("lock/upgrade.lock")
    }

    /// There while an upgrade is under way or was interrupted.
    pub fn upgrade_journal(&self) -> PathBuf {
        self.state.join("upgrade.json")
    }

    /// Which lines go to which sinks.
    pub fn forward_plan(&self) -> PathBuf {
        self.run.join("forward.json")
    }

    /// Folder of what is told about sinks.
    pub fn sinks(&self) -> PathBuf {
        self.run.join("sinks")
    }

    /// The paths of one sink, whose name is checked as that of a service.
    pub fn sink(&self, name: &str) -> SinkPaths {
        SinkPaths {
            state: self.sinks().join(format!("{name}.json")),
            positions: self.state.join("sinks").join(name),
            lock: self.state.join("lock").join(format!("{name}.sink.lock")),
        }
    }

    /// Folder of all services' folders.
    pub fn services(&self) -> PathBuf {
        self.run.join("svc")
    }

    /// FIFO through which all of dogwatch's processes bring their lines to [`Paths::own_log`], so that none of
    /// them ever waits for its disk.
    pub fn own_fifo(&self) -> PathBuf {
        self.run.join("own.fifo")
    }

    /// dogwatch's own log file, of control plane, warden and keepers.
    pub fn own_log(&self) -> PathBuf {
        self.log.join("dogwatch.log")
    }

    /// The paths of one service.
    pub fn service(&self, name: &ServiceName) -> ServicePaths {
        ServicePaths {
            dir: self.services().join(name.as_str()),
            lock: self.state.join("lock").join(format!("{name}.keeper.lock")),
            goal: self.state.join("goal").join(name.as_str()),
        }
    }

    /// Every folder that must exist before anything is started.
    pub fn folders(&self) -> [PathBuf; 5] {
        [
            self.run.clone(),
            self.services(),
            self.state.join("lock"),
            self.state.join("goal"),
            self.log.clone(),
        ]
    }
}

/// The paths of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPaths {
    /// How it is.
    pub state: PathBuf,
    /// Folder of how far each stream has come.
    pub positions: PathBuf,
    /// Held by the one who forwards to it.
    pub lock: PathBuf,
}

/// The paths of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePaths {
    /// `run/svc/<name>`.
    pub dir: PathBuf,
    /// Held by its one keeper.
    pub lock: PathBuf,
    /// What the operator wants.
    pub goal: PathBuf,
}

impl ServicePaths {
    /// The checked entry.
    pub fn spec(&self) -> PathBuf {
        self.dir.join("spec.json")
    }

    /// The entry that the next reload takes.
    pub fn next_spec(&self) -> PathBuf {
        self.dir.join("spec.next.json")
    }

    /// The entry that holds again if the present reload does not work.
    pub fn previous_spec(&self) -> PathBuf {
        self.dir.join("spec.previous.json")
    }

    /// Names the run whose bytes one of the log files ends with, while there are several.
    pub fn log_source(&self, stream: &str) -> PathBuf {
        self.dir.join(format!("{stream}.source"))
    }

    /// What of a stream's output was dropped.
    pub fn log_dropped(&self, stream: &str) -> PathBuf {
        self.dir.join(format!("{stream}.dropped"))
    }

    /// What of a stream's output is on its way into its dressed log.
    pub fn log_dressed(&self, stream: &str) -> PathBuf {
        self.dir.join(format!("{stream}.dressed"))
    }

    /// One of the two state records.
    pub fn record(&self, slot: usize) -> PathBuf {
        self.dir.join(format!("state.{slot}"))
    }

    /// What has befallen the keeper.
    pub fn incidents(&self) -> PathBuf {
        self.dir.join("incidents.json")
    }

    /// Requests to the keeper.
    pub fn keeper_sock(&self) -> PathBuf {
        self.dir.join("keeper.sock")
    }

    /// What Node loads before a program that listens.
    pub fn node_preload(&self) -> PathBuf {
        self.dir.join("node-listen.cjs")
    }

    /// NOTIFY_SOCKET of the service.
    pub fn notify_sock(&self) -> PathBuf {
        self.dir.join("notify.sock")
    }

    /// Folder of the FIFOs of one run.
    pub fn run_dir(&self, run: u64) -> PathBuf {
        self.dir.join(format!("0.{run}"))
    }

    /// Folder of FIFOs that no run has, for one that finds no room on the disk.
    pub fn spare_dir(&self) -> PathBuf {
        self.dir.join("spare")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let me = folder.path().metadata().unwrap().uid();
        assert_eq!(home_of(folder.path(), me), None);
        let home = folder.path().join(".dogwatch");
        std::fs::create_dir(&home).unwrap();
        assert_eq!(home_of(folder.path(), me), None, "nothing ever ran in it");
        std::fs::create_dir(home.join("run")).unwrap();
        assert_eq!(home_of(folder.path(), me), Some(home));
        assert_eq!(home_of(folder.path(), me + 1), None, "somebody else's");
    }

    #[test]
    fn who_gets_which_folders() {
        let around = |euid, flag: Option<&str>, xdg: Option<&str>| Surroundings {
            home_flag: flag.map(Into::into),
            euid,
            home: Some("/home/u".into()),
            xdg_runtime: xdg.map(Into::into),
            cwd: "/srv".into(),
        };
        let run = |around: &Surroundings| Paths::resolve(around).unwrap().run;
        assert_eq!(run(&around(0, None, Some("/run/user/0"))), Path::new("/run/dogwatch"));
        assert_eq!(run(&around(7, None, Some("/run/user/7"))), Path::new("/run/user/7/dogwatch"));
        assert_eq!(run(&around(7, None, None)), Path::new("/home/u/.local/state/dogwatch/run"));
        assert_eq!(run(&around(0, Some(".dw"), None)), Path::new("/srv/.dw/run"));
        assert!(Paths::resolve(&Surroundings { euid: 7, ..Surroundings::default() }).is_err());
    }
}
