//! Finding out. Nothing here judges, and nothing changes anything.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::containment::Containment;
use super::machine::Filled;
use super::rights::{self, Kept, Rights};
use super::services::{Held, Port, Process};
use crate::config::Ecosystem;
use crate::model::name::ServiceName;
use crate::model::phase::State;
use crate::model::spec::ServiceSpec;
use crate::os::builds::Builds;
use crate::os::{cgroup, file, lock, own, port, process, program, users};
use crate::paths::Paths;
use crate::wire::archive_name;
use crate::wire::record::Record;
use crate::wire::status::ServiceStatus;

/// The root of the cgroup hierarchy, where v2 alone is mounted, has this file.
const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";
/// There while systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// dogwatch's own processes that live.
#[derive(Debug, Default)]
pub struct Living {
    pub control: Option<Process>,
    pub warden: Option<Process>,
    pub keepers: Vec<Process>,
}

impl Living {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.control.iter().chain(&self.warden).chain(&self.keepers)
    }
}

/// Who holds the locks.
pub fn living(paths: &Paths) -> Living {
    let builds = Builds::default();
    // A look that takes no lock is never in the way of a process that is just starting.
    let found = |name: String, path: &Path| {
        let pid = lock::named(path)?.pid;
        let same = program::of(pid).is_ok() && !builds.differs(pid);
        let version = if same { Some(version_of_this()) } else { version(&program::link(pid)) };
        Some(Process { name, pid, version, same })
    };
    let is_keeper =
        |process: &Process| process::command_line(process.pid).get(1).is_some_and(|word| word == "keeper");
    let keepers = names(paths)
        .into_iter()
        .filter_map(|name| found(format!("keeper {name}"), &paths.service(&name).lock).filter(is_keeper));
    Living {
        control: found("control plane".to_owned(), &paths.control_lock()),
        warden: found("warden".to_owned(), &paths.warden_lock()),
        keepers: keepers.collect(),
    }
}

fn version_of_this() -> String {
    format!("dogwatch {}", env!("CARGO_PKG_VERSION"))
}

/// What a program that runs calls itself. It is one of dogwatch's own, so that it may be run.
fn version(program: &Path) -> Option<String> {
    let output =
        Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && text.len() < 100)
}

fn names(paths: &Paths) -> Vec<ServiceName> {
    let entries = fs::read_dir(paths.services()).into_iter().flatten().flatten();
    let mut names: Vec<ServiceName> =
        entries.filter_map(|entry| ServiceName::new(entry.file_name().to_str()?).ok()).collect();
    names.sort_unstable();
    names
}

/// Where the services are, by the records of those that run; else where they would be.
pub fn containment(paths: &Paths, services: &[ServiceStatus]) -> Containment {
    let place = Containment {
        systemd: Path::new(SYSTEMD).exists(),
        unified: Path::new(UNIFIED).exists(),
        ..Containment::default()
    };
    let running = services.iter().filter(|service| service.pid.is_some());
    let cgroups: Vec<Option<PathBuf>> = running.map(|service| cgroup_of(paths, &service.name)).collect();
    if cgroups.is_empty() {
        let own = cgroup::own().filter(|own| cgroup::is_writable(own));
        let controllers = own.as_ref().map(|own| cgroup::controllers(own, true)).unwrap_or_default();
        return Containment { cgroup: own, controllers, ..place };
    }
    // The chain is as strong as its weakest link.
    let all: Option<Vec<PathBuf>> = cgroups.into_iter().collect();
    let weakest =
        all.and_then(|all| all.into_iter().min_by_key(|path| cgroup::controllers(path, false).len()));
    let controllers = weakest.as_ref().map(|path| cgroup::controllers(path, false)).unwrap_or_default();
    Containment { running: true, cgroup: weakest, controllers, ..place }
}

fn cgroup_of(paths: &Paths, name: &ServiceName) -> Option<PathBuf> {
    let paths = paths.service(name);
    let slots = [0, 1].map(|slot| fs::read(paths.record(slot)).unwrap_or_default());
    let record = Record::newest([&slots[0], &slots[1]]).ok()??;
    let path = PathBuf::from(record.instances.into_iter().next()?.cgroup?);
    path.is_dir().then_some(path)
}

/// The kernel's release.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// fs.pipe-user-pages-soft; 0 means no limit.
pub fn pipe_pages() -> u64 {
    let text = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The folder itself, or the nearest one above it that there is.
pub fn there(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// How full the file systems of these folders are, each once.
pub fn disks(folders: &[(&str, &Path)]) -> Vec<Filled> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<Filled> = Vec::new();
    for (what, folder) in folders {
        let folder = there(folder);
        let Ok(device) = fs::metadata(&folder).map(|about| about.dev()) else { continue };
        let Ok(space) = file::space(&folder) else { continue };
        if !seen.insert(device) {
            continue;
        }
        let files = file::inodes(&folder).ok().flatten();
        let files = files.map(|(all, free)| (all.saturating_sub(free), free));
        all.push(Filled { what: (*what).to_owned(), folder, bytes: (space.used, space.free), files });
    }
    all
}

/// The log files of these services, and dogwatch's own, with their sizes.
pub fn logs(paths: &Paths, specs: &[&ServiceSpec]) -> Vec<(Option<String>, PathBuf, u64)> {
    let own = std::iter::once((None, paths.own_log()));
    let theirs = specs.iter().flat_map(|spec| {
        archive_name::stems(spec.name.as_str(), spec.log.merge)
            .into_iter()
            .map(|stem| (Some(spec.name.to_string()), spec.log.dir.join(archive_name::log(&stem))))
    });
    let sized = own.chain(theirs).filter_map(|(name, path)| {
        let size = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        Some((name, path, size))
    });
    sized.collect()
}

/// Owner and rights of a path.
pub fn rights(path: &Path) -> Option<Rights> {
    let about = fs::metadata(path).ok()?;
    let mode = about.permissions().mode() & 0o7777;
    Some(Rights { path: path.to_owned(), uid: about.uid(), gid: about.gid(), mode })
}

/// The files that decide what runs with the rights of dogwatch's user.
pub fn kept(ecosystem: &Ecosystem) -> Vec<Kept> {
    let kept = |what: String, path: &Path| {
        let chain = rights::chain(&path.canonicalize().ok()?, rights);
        (!chain.is_empty()).then_some(Kept { what, chain })
    };
    let mut all: Vec<Kept> = kept("ecosystem.toml".to_owned(), &ecosystem.path).into_iter().collect();
    all.extend(ecosystem.env_files.iter().filter_map(|path| kept("an env_file".to_owned(), path)));
    all.extend(
        fs::read_link("/proc/self/exe").ok().and_then(|path| kept("dogwatch itself".to_owned(), &path)),
    );
    for spec in ecosystem.services.iter().filter(|spec| runs_as_us(spec)) {
        all.extend(program(spec).and_then(|path| kept(format!("the program of {}", spec.name), &path)));
    }
    all
}

fn runs_as_us(spec: &ServiceSpec) -> bool {
    let uid = |name: &String| users::find(name).ok().map(|user| user.ids.uid);
    spec.user.as_ref().is_none_or(|name| uid(name) == Some(own::effective_uid()))
}

fn program(spec: &ServiceSpec) -> Option<PathBuf> {
    let name = spec.command.first()?;
    if name.contains('/') {
        return Some(spec.cwd.join(name));
    }
    let folders = spec.env.get("PATH").map_or("", String::as_str);
    std::env::split_paths(folders).map(|folder| spec.cwd.join(folder).join(name)).find(|path| path.is_file())
}

/// Open files of a process, and how many it may open; none if it belongs to somebody else.
pub fn open_files(pid: i32) -> Option<(u64, u64)> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some((open, line.split_ascii_whitespace().next()?.parse().unwrap_or(u64::MAX)))
}

/// Who listens where these services shall.
pub fn ports(specs: &[&ServiceSpec], services: &[ServiceStatus], living: &Living) -> Vec<Port> {
    let ours: BTreeSet<i32> = living
        .all()
        .map(|process| process.pid)
        .chain(services.iter().filter_map(|service| service.pid))
        .chain(services.iter().map(|service| service.keeper_pid))
        .collect();
    let each = specs.iter().flat_map(|spec| spec.listen.iter().map(move |address| (*spec, *address)));
    each.map(|(spec, address)| {
        let online =
            services.iter().any(|service| service.name == spec.name && service.state == State::Online);
        let held = match port::holders(address) {
            None => Held::Free,
            Some(pids) if pids.iter().any(|pid| ours.contains(pid)) => Held::Ours,
            Some(pids) => pids.first().map_or(Held::Hidden, |pid| Held::Foreign(*pid, port::in_words(*pid))),
        };
        Port { service: spec.name.to_string(), address, online, held }
    })
    .collect()
}

/// This user's name, and whether it lingers (loginctl(1)).
pub fn linger() -> (String, bool) {
    let uid = own::effective_uid();
    let name = users::name_of(uid).unwrap_or_else(|| uid.to_string());
    let lingers = Path::new("/var/lib/systemd/linger").join(&name).exists();
    (name, lingers)
}
