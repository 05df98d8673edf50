//! The services during an upgrade, by what stands on disk: nobody has to answer for that.

use std::fs;

use crate::model::name::ServiceName;
use crate::model::phase::{Instance, Run};
use crate::paths::Paths;
use crate::wire::record::Record;
use crate::wire::spec::SpecFile;

/// The services that have something for a keeper to run.
pub fn all(paths: &Paths) -> Vec<ServiceName> {
    let entries = fs::read_dir(paths.services()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| ServiceName::new(entry.file_name().to_str()?).ok());
    let mut names: Vec<ServiceName> = names.filter(|name| paths.service(name).spec().exists()).collect();
    names.sort();
    names
}

/// The same, the ones first whose keepers matter least.
pub fn least_critical_first(paths: &Paths) -> Vec<ServiceName> {
    let mut names = all(paths);
    let is_critical = |name: &ServiceName| {
        let spec = fs::read(paths.service(name).spec()).ok();
        spec.and_then(|bytes| SpecFile::decode(&bytes).ok()).is_some_and(|file| file.spec.critical)
    };
    names.sort_by_cached_key(|name| (is_critical(name), run(paths, name).is_some()));
    names
}

/// The runs that live.
pub fn runs(paths: &Paths) -> Vec<(ServiceName, Run)> {
    all(paths).into_iter().filter_map(|name| Some((name.clone(), run(paths, &name)?))).collect()
}

/// Which services still have their process; and what became of the others, one sentence each.
pub fn compare(paths: &Paths, before: Vec<(ServiceName, Run)>) -> (Vec<ServiceName>, Vec<String>) {
    let (mut untouched, mut changed) = (Vec::new(), Vec::new());
    for (name, old) in before {
        let instance = instance(paths, &name).unwrap_or_default();
        let is_it = |run: &Run| (run.pid, run.ticks) == (old.pid, old.ticks);
        if instance.run().as_ref().is_some_and(is_it) {
            untouched.push(name);
            continue;
        }
        if instance.living().any(|run| is_it(&run)) {
            let new = instance.runs;
            changed.push(format!("run {} of {name} is being replaced by run {new}", old.number));
            continue;
        }
        let why = instance.last_end.as_ref().map(|end| format!(": {end}")).unwrap_or_default();
        changed.push(format!("run {} of {name} has ended{why}", old.number));
    }
    (untouched, changed)
}

fn run(paths: &Paths, name: &ServiceName) -> Option<Run> {
    instance(paths, name)?.run()
}

fn instance(paths: &Paths, name: &ServiceName) -> Option<Instance> {
    let slots = [0, 1].map(|slot| fs::read(paths.service(name).record(slot)).unwrap_or_default());
    let record = Record::newest([&slots[0], &slots[1]]).ok()??;
    Some(record.instances.into_iter().next()?.instance)
}
