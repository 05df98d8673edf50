//! What keepers have written down of their services, as others read it.

use std::fs;

use crate::model::name::ServiceName;
use crate::os::process::{self, Identity};
use crate::paths::{Paths, ServicePaths};
use crate::wire::record::Record;

/// What was written last; none if that cannot be read.
pub fn newest(paths: &ServicePaths) -> Option<Record> {
    let slots = [0, 1].map(|slot| fs::read(paths.record(slot)).unwrap_or_default());
    Record::newest([&slots[0], &slots[1]]).ok()?
}

/// The main processes of the service's runs, if they run as the record says.
pub fn runs(record: &Record) -> impl Iterator<Item = Identity> {
    let runs = record.instances.iter().flat_map(|instance| instance.instance.living());
    runs.map(|run| Identity { pid: run.pid, ticks: run.ticks, boot_id: record.boot_id.clone() })
}

/// The main processes of all services but this one that are alive.
pub fn neighbours(paths: &Paths, name: &ServiceName) -> Vec<i32> {
    let folders = fs::read_dir(paths.services()).into_iter().flatten().flatten();
    let names = folders.filter_map(|folder| ServiceName::new(folder.file_name().to_str()?).ok());
    let records = names.filter(|other| other != name).filter_map(|other| newest(&paths.service(&other)));
    let alive = records.flat_map(|record| runs(&record).filter(process::is_alive).collect::<Vec<_>>());
    alive.map(|identity| identity.pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moment::Moment;
    use crate::model::phase::{Instance, Phase, Run};
    use crate::wire::VERSION;
    use crate::wire::record::InstanceRecord;

    #[test]
    fn neighbours_are_what_others_have_written_down_and_lives() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::below(home.path());
        let own = Identity::own().unwrap();
        let name = |text: &str| ServiceName::new(text).unwrap();
        for (service, ticks) in [("web", own.ticks), ("api", own.ticks), ("gone", own.ticks + 1)] {
            let run = Run { number: 1, pid: own.pid, ticks, started: Moment(0) };
            let instance = Instance { phase: Phase::Online { run }, ..Instance::default() };
            let instance = InstanceRecord { instance, ..InstanceRecord::default() };
            let record =
                Record { v: VERSION, seq: 1, boot_id: own.boot_id.clone(), instances: vec![instance] };
            let paths = paths.service(&name(service));
            fs::create_dir_all(&paths.dir).unwrap();
            fs::write(paths.record(0), record.encode().unwrap()).unwrap();
        }
        fs::create_dir(paths.services().join("no record")).unwrap();
        assert_eq!(neighbours(&paths, &name("web")), [own.pid]);
        assert_eq!(neighbours(&paths, &name("other")), [own.pid, own.pid]);
    }
}
