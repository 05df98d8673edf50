//! Throw-away services beside the one that is probed. They are in no ecosystem.toml: their spec is put where a
//! keeper finds it, the warden is asked to keep it, and in the end the keeper is told to retire.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::fault::{BOMB, BOMB_LIMIT, FULL_LOGS_MIB, LEAK_LIMIT_MIB, LEAK_MOST_MIB, Misdeed, flood_mib};
use super::own::{ask_warden, service_process};
use super::victim;
use crate::model::attributes::Attributes;
use crate::model::name::ServiceName;
use crate::model::shares::{Shares, Together};
use crate::model::spec::{
    Access, LogPolicy, MemoryLimit, Ready, RestartPolicy, RestartWhen, ServiceSpec, StopPolicy,
};
use crate::os::packet::Connection;
use crate::os::{file, lock, own, tree};
use crate::paths::Paths;
use crate::wire::VERSION;
use crate::wire::keeper::{Op, Request};
use crate::wire::spec::SpecFile;
use crate::wire::warden;

/// The compartment of them all.
const COMPARTMENT: &str = "drill";
/// A neighbour is gone within this time, or somebody must look.
const RETIRE: Duration = Duration::from_secs(20);
/// They end without a word, so they get no time for one.
const STOP: Duration = Duration::from_secs(1);
/// What the kernel lets all of them have together, where dogwatch has a controller for that.
const TOGETHER_MIB: u64 = 512;

/// The name of the neighbour that does this.
pub fn name(misdeed: Misdeed) -> ServiceName {
    let name = match misdeed {
        Misdeed::CrashLoop => "drill-crash-loop",
        Misdeed::Leak => "drill-leak",
        Misdeed::Flood => "drill-flood",
        Misdeed::ForkBomb => "drill-fork-bomb",
        Misdeed::Spin => "drill-spin",
        Misdeed::FullLogs => "drill-full-logs",
    };
    ServiceName::new(name).expect("letters and dashes make a name")
}

/// The neighbour that does this for so many seconds, with its logs in this folder.
pub fn spec(misdeed: Misdeed, seconds: u64, program: &Path, logs: &Path) -> ServiceSpec {
    let words: Vec<String> = match misdeed {
        Misdeed::CrashLoop => vec!["crash".to_owned()],
        Misdeed::Leak => vec!["leak".to_owned(), LEAK_MOST_MIB.to_string()],
        Misdeed::Flood => vec!["flood".to_owned(), seconds.to_string(), flood_mib(seconds).to_string()],
        // Half as much again as there is room for: the rest waits in the FIFO, and in the neighbour's own write.
        Misdeed::FullLogs => vec!["fill".to_owned(), (1536 * FULL_LOGS_MIB).to_string()],
        Misdeed::ForkBomb => vec!["fork".to_owned(), BOMB.to_string(), seconds.to_string()],
        Misdeed::Spin => vec!["spin".to_owned(), seconds.to_string()],
    };
    let mut command = vec![program.to_string_lossy().into_owned(), victim::COMMAND.to_owned()];
    command.extend(words);
    // Once is enough for those that are watched until they are done.
    let again = matches!(misdeed, Misdeed::CrashLoop | Misdeed::Leak);
    let shares = Shares {
        cpu_weight: Some(10),
        io_weight: Some(10),
        pids_max: (misdeed == Misdeed::ForkBomb).then_some(BOMB_LIMIT),
    };
    // The kernel counts all of the user's.
    let user = if own::effective_uid() == 0 { victim::NOBODY } else { own::effective_uid() };
    let nproc = (misdeed == Misdeed::ForkBomb).then(|| tree::tasks_of(user) + u64::from(BOMB_LIMIT));
    ServiceSpec {
        name: name(misdeed),
        compartment: COMPARTMENT.to_owned(),
        critical: false,
        command,
        cwd: "/".into(),
        env: BTreeMap::new(),
        user: None,
        attributes: Attributes { nproc, ..Attributes::default() },
        shares,
        together: Together {
            memory: Some(TOGETHER_MIB << 20),
            shares: Shares { cpu_weight: Some(10), io_weight: Some(10), pids_max: Some(2 * BOMB) },
        },
        after: Vec::new(),
        listen: Vec::new(),
        ready: Ready::Alive { after: Duration::from_millis(100) },
        restart: RestartPolicy {
            policy: if again { RestartWhen::Always } else { RestartWhen::Never },
            delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(100),
            give_up: Some(most_starts(seconds)),
            ..RestartPolicy::default()
        },
        stop: StopPolicy { timeout: STOP, ..StopPolicy::default() },
        memory: (misdeed == Misdeed::Leak)
            .then_some(MemoryLimit { limit: LEAK_LIMIT_MIB << 20, max: LEAK_MOST_MIB << 20 }),
        log: LogPolicy { budget: u64::MAX, ..LogPolicy::new(logs.to_owned(), 16 << 20, 1000, false) },
        access: Access::None,
    }
}

/// Starts after which a neighbour stays down, should nobody be left to end it: twice those that the longest delay
/// allows while it is watched, and a minute more.
fn most_starts(seconds: u64) -> u32 {
    u32::try_from(20 * (seconds + 60)).unwrap_or(u32::MAX)
}

/// Whether something of that name runs here, which a drill must not touch.
pub fn is_taken(paths: &Paths, name: &ServiceName) -> bool {
    let own = paths.service(name);
    lock::named(&own.lock).is_some() || service_process(&own).is_some()
}

/// Puts the spec where a keeper finds it, and has the warden start one.
///
/// # Errors
/// A sentence.
pub fn start(paths: &Paths, spec: &ServiceSpec) -> Result<(), String> {
    let folder = paths.service(&spec.name);
    let written = own::make_folder(&folder.dir)
        .and_then(|()| file::replace(&folder.spec(), &SpecFile::encode(spec, false), false));
    written.map_err(|error| format!("cannot write {}: {error}", folder.spec().display()))?;
    match ask_warden(paths, &warden::Request::Keep { name: spec.name.clone() }) {
        Some(warden::Reply::Done) => Ok(()),
        Some(warden::Reply::Error { message }) => Err(format!("the warden says: {message}")),
        Some(other) => Err(format!("the warden answered {other:?}")),
        None => Err("the warden does not answer".to_owned()),
    }
}

/// Has the keeper stop the neighbour and end, and removes what they had. Nothing is done if there is none.
///
/// # Errors
/// A sentence: it still runs.
pub fn retire(paths: &Paths, name: &ServiceName) -> Result<(), String> {
    let own = paths.service(name);
    let deadline = Instant::now() + RETIRE;
    let mut told: Option<i32> = None;
    while is_taken(paths, name) {
        if Instant::now() >= deadline {
            return Err(format!("{name} of the drill still runs; stop it: dogwatch stop {name}"));
        }
        // A keeper that died with the order in its hands has a successor, which is told again.
        let keeper = lock::named(&own.lock).map(|holder| holder.pid);
        if keeper.is_some() && keeper != told && tell_to_retire(&own.keeper_sock()).is_some() {
            told = keeper;
        }
        pause();
    }
    if own.dir.exists() {
        let removed = std::fs::remove_dir_all(&own.dir);
        removed.map_err(|error| format!("cannot remove {}: {error}", own.dir.display()))?;
    }
    // They are there only if it ever had a keeper, or an order.
    let _ = std::fs::remove_file(&own.lock);
    let _ = std::fs::remove_file(&own.goal);
    Ok(())
}

/// None if it could not be told.
fn tell_to_retire(socket: &Path) -> Option<()> {
    let request = serde_json::to_vec(&Request { v: VERSION, op: Op::Retire }).ok()?;
    let keeper = Connection::connect(socket).ok()?;
    keeper.send(&request, &[]).ok()?;
    keeper.wait(1000).ok()?.then_some(())
}

/// Between two looks at a condition.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(2));
}
