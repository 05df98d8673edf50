//! What the logs of a compartment, and of all services, may take together, and the room that is left on their disk for
//! others. Each keeper looks after its own service's archives; this is for what none of them can see.
//!
//! Where nothing of that is in the file, nothing is done. Else it is looked at in the tick that the control plane has
//! anyway, by a thread: a disk that hangs keeps nobody but that thread.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::plane::Plane;
use super::say::say;
use crate::archive::Archives;
use crate::model::name::ServiceName;
use crate::model::retention::{Shared, to_free};
use crate::model::units::show_size;
use crate::os::file;
use crate::os::folder::{Folder, Missing};
use crate::wire::archive_name;

/// The topic of problems about it.
const TOPIC: &str = "log budget";
/// Stack of the thread, bytes.
const STACK: usize = 128 * 1024;

/// What the file says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The folder of the logs.
    pub dir: PathBuf,
    /// The services.
    pub services: Vec<Owner>,
    /// Bytes of all logs together.
    pub budget: Option<u64>,
    /// Bytes of a compartment's logs.
    pub compartments: Vec<(String, u64)>,
    /// Bytes that stay free on the disk, as long as there are archives.
    pub reserve: Option<u64>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: ServiceName,
    /// Its compartment.
    pub compartment: String,
    /// Its archives go last.
    pub critical: bool,
}

/// Looks after them, one look at a time.
#[derive(Debug, Default)]
pub struct LogBudget {
    looks: Arc<AtomicBool>,
}

impl LogBudget {
    /// Has a look begun, if there is anything to look after and the last one is over.
    pub fn tick(&self, plane: &Arc<Plane>) {
        let Some(limits) = plane.book.log_limits() else {
            plane.problem(TOPIC, None);
            return;
        };
        if self.looks.swap(true, Ordering::Relaxed) {
            return;
        }
        let (plane, looks) = (Arc::clone(plane), Arc::clone(&self.looks));
        // Not one of the runtime's: it would be waited for at the end, whatever its disk does.
        let begun = thread::Builder::new().name("log-budget".to_owned()).stack_size(STACK).spawn(move || {
            if let Ok(Look { deleted, short }) = look(&limits) {
                deleted.iter().for_each(say);
                plane.problem(TOPIC, short);
            }
            looks.store(false, Ordering::Relaxed);
        });
        if begun.is_err() {
            self.looks.store(false, Ordering::Relaxed); // at the next tick, then
        }
    }
}

/// What a look came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// What was deleted, one sentence for each service.
    deleted: Vec<String>,
    /// What is not as it should be, although there is nothing more to delete.
    short: Option<String>,
}

/// Deletes what is too much.
fn look(limits: &Limits) -> io::Result<Look> {
    let folder = Folder::open(&limits.dir, Missing::Fail)?;
    let stems: Vec<String> = limits
        .services
        .iter()
        .flat_map(|service| ["out", "error"].map(|kind| format!("{}-{kind}", service.name)))
        .collect();
    let stems: Vec<&str> = stems.iter().map(String::as_str).collect();
    let live: Vec<u64> = stems
        .chunks(2)
        .map(|two| two.iter().filter_map(|stem| folder.size_of(&archive_name::log(stem))).sum())
        .collect();
    let archives = Archives::find(&folder, &stems);
    let shared: Vec<Shared> = archives
        .all()
        .map(|archive| {
            let owner = archive.log / 2;
            let critical = limits.services[owner].critical;
            Shared { owner, critical, at_ms: archive.at_ms, bytes: archive.bytes }
        })
        .collect();
    let mut plan = Plan { limits, live, shared, gone: BTreeSet::new(), short: None };
    for (name, budget) in &limits.compartments {
        let what = format!("compartment {name}");
        plan.keep_to(*budget, &what, |owner| owner.compartment == *name);
    }
    if let Some(budget) = limits.budget {
        plan.keep_to(budget, "all services", |_| true);
    }
    if let Some(reserve) = limits.reserve {
        plan.keep_free(reserve, file::space(&limits.dir)?.free);
    }
    let mut by_owner = vec![(0_u64, 0_u64); limits.services.len()];
    for at in &plan.gone {
        let (count, bytes) = &mut by_owner[plan.shared[*at].owner];
        *count += 1;
        *bytes += plan.shared[*at].bytes;
        archives.remove_at(*at, &stems);
    }
    let told = limits.services.iter().zip(by_owner).filter(|(_, (count, _))| *count > 0);
    let deleted = told.map(|(service, (count, bytes))| {
        let noun = if count == 1 { "archive" } else { "archives" };
        format!(
            "{}: deleted its {count} oldest {noun}, {}: the logs take too much",
            service.name,
            show_size(bytes)
        )
    });
    Ok(Look { deleted: deleted.collect(), short: plan.short })
}

/// Which archives are to go.
struct Plan<'a> {
    limits: &'a Limits,
    /// What each service's logs take that are not archived.
    live: Vec<u64>,
    shared: Vec<Shared>,
    gone: BTreeSet<usize>,
    short: Option<String>,
}

impl Plan<'_> {
    /// Keeps the logs of some services to a budget.
    fn keep_to(&mut self, budget: u64, what: &str, is_member: impl Fn(&Owner) -> bool) {
        let members: Vec<bool> = self.limits.services.iter().map(is_member).collect();
        let left = self.left(&members);
        let archived: u64 = left.iter().map(|at| self.shared[*at].bytes).sum();
        let live: u64 =
            self.live.iter().zip(&members).filter(|(_, member)| **member).map(|(live, _)| live).sum();
        let excess = (archived + live).saturating_sub(budget);
        if excess > archived {
            self.short = Some(format!(
                "the logs of {what} take {} without any archive, more than their budget of {}",
                show_size(live),
                show_size(budget)
            ));
        }
        self.free(&left, excess);
    }

    /// Keeps so much of the disk free.
    fn keep_free(&mut self, reserve: u64, free: u64) {
        let freed: u64 = self.gone.iter().map(|at| self.shared[*at].bytes).sum();
        let left = self.left(&vec![true; self.limits.services.len()]);
        let archived: u64 = left.iter().map(|at| self.shared[*at].bytes).sum();
        let excess = reserve.saturating_sub(free + freed);
        if excess > archived {
            self.short = Some(format!(
                "the disk of the logs has {} free, less than log_reserve = {}, and there are no archives to delete",
                show_size(free),
                show_size(reserve)
            ));
        }
        self.free(&left, excess);
    }

    fn left(&self, members: &[bool]) -> Vec<usize> {
        let stays = |at: &usize| !self.gone.contains(at) && members[self.shared[*at].owner];
        (0..self.shared.len()).filter(stays).collect()
    }

    fn free(&mut self, among: &[usize], bytes: u64) {
        let candidates: Vec<Shared> = among.iter().map(|at| self.shared[*at]).collect();
        self.gone.extend(to_free(&candidates, bytes).into_iter().map(|at| among[at]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Three services, of which `big` has six archives of ten bytes, the others two; all have ten bytes in a log.
    fn limits(dir: &tempfile::TempDir) -> Limits {
        let owner = |name: &str, compartment: &str, critical| Owner {
            name: ServiceName::new(name).unwrap(),
            compartment: compartment.to_owned(),
            critical,
        };
        let services =
            vec![owner("web", "front", true), owner("big", "back", false), owner("small", "back", false)];
        for (service, count) in services.iter().zip([2, 6, 2]) {
            for n in 0..=count {
                fs::write(dir.path().join(format!("{}-out.log", service.name)), "0123456789").unwrap();
                if n < count {
                    let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
                    let stem = format!("{}-out", service.name);
                    crate::archive::put(&logs, dir.path(), &stem, 1_000_000_000_000 + n).unwrap();
                }
            }
        }
        Limits { dir: dir.path().to_owned(), services, ..Limits::default() }
    }

    fn counts(limits: &Limits) -> Vec<usize> {
        let count = |owner: &Owner| crate::archive::list(&limits.dir, &format!("{}-out", owner.name)).len();
        limits.services.iter().map(count).collect()
    }

    #[test]
    fn a_compartment_keeps_to_its_budget_and_who_has_the_most_pays() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { compartments: vec![("back".to_owned(), 60)], ..limits(&dir) };
        let seen = look(&limits).unwrap();
        assert_eq!(seen.deleted, ["big: deleted its 4 oldest archives, 40 B: the logs take too much"]);
        assert_eq!((seen.short, counts(&limits)), (None, vec![2, 2, 2]));
        assert_eq!(look(&limits).unwrap(), Look::default());
    }

    #[test]
    fn all_together_and_critical_ones_last() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { budget: Some(50), ..limits(&dir) };
        look(&limits).unwrap();
        assert_eq!(counts(&limits), [2, 0, 0]);
        let limits = Limits { budget: Some(29), ..limits };
        let short = look(&limits).unwrap().short;
        assert_eq!(counts(&limits), [0, 0, 0]);
        let text = "the logs of all services take 30 B without any archive, more than their budget of 29 B";
        assert_eq!(short.as_deref(), Some(text));
    }

    #[test]
    fn so_much_of_the_disk_stays_free() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { reserve: Some(1), ..limits(&dir) };
        assert_eq!(look(&limits).unwrap(), Look::default());
        let limits = Limits { reserve: Some(u64::MAX), ..limits };
        assert!(look(&limits).unwrap().short.unwrap().contains(" free, less than log_reserve = "));
        assert_eq!(counts(&limits), [0, 0, 0]);
    }
}
