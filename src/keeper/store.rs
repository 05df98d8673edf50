//! What a keeper remembers beyond its own death: state records, the goal, the spec.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::goals;
use crate::model::phase::Goal;
use crate::os::{clock, file};
use crate::paths::ServicePaths;
use crate::wire::record::{InstanceRecord, Record, RecordError, SIZE};
use crate::wire::spec::SpecFile;

/// The files of one service.
#[derive(Debug)]
pub struct Store {
    paths: ServicePaths,
    slots: [File; 2],
    /// The versions of the records in them; 0 if there is none.
    versions: [u32; 2],
    seq: u64,
    boot_id: String,
}

impl Store {
    /// Opens the records and reads the newest one of this boot.
    ///
    /// # Errors
    /// A sentence: the folder cannot be written, or a newer dogwatch wrote the record.
    pub fn open(paths: &ServicePaths) -> Result<(Store, Option<InstanceRecord>), String> {
        let open = |slot: usize| {
            let path = paths.record(slot);
            let failed =
                |error: io::Error| format!("cannot open the state record {}: {error}", path.display());
            let file = file::open_preallocated(&path, SIZE).map_err(failed)?;
            let mut bytes = vec![0; SIZE];
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            Ok::<_, String>((file, bytes))
        };
        let ((first, first_bytes), (second, second_bytes)) = (open(0)?, open(1)?);
        let boot_id = clock::boot_id().map_err(|error| format!("cannot read the boot id: {error}"))?;
        let newest = Record::newest([&first_bytes, &second_bytes]).map_err(|error: RecordError| {
            format!("cannot use the state record {}: {error}", paths.record(0).display())
        })?;
        let version = |bytes: &[u8]| Record::decode(bytes).map_or(0, |record| record.v);
        let versions = [version(&first_bytes), version(&second_bytes)];
        let seq = newest.as_ref().map_or(0, |record| record.seq);
        let instance = newest.filter(|record| record.boot_id == boot_id);
        let instance = instance.and_then(|record| record.instances.into_iter().next());
        Ok((Store { paths: paths.clone(), slots: [first, second], versions, seq, boot_id }, instance))
    }

    /// Writes a record over the older one; also over the other one, if an older dogwatch would refuse that: it refuses
    /// what it does not know wherever it finds it.
    ///
    /// # Errors
    /// Those of pwrite(2), or a record that is too long.
    pub fn save(&mut self, instance: &InstanceRecord) -> io::Result<()> {
        self.write(instance)?;
        if self.versions.iter().any(|version| *version > instance.version()) {
            self.write(instance)?;
        }
        Ok(())
    }

    fn write(&mut self, instance: &InstanceRecord) -> io::Result<()> {
        let mut record = Record {
            v: instance.version(),
            seq: self.seq + 1,
            boot_id: self.boot_id.clone(),
            instances: vec![instance.clone()],
        };
        let bytes = record.encode().or_else(|_| {
            // Better without what was than no record of what is.
            record.instances.iter_mut().for_each(|instance| instance.instance.last_end = None);
            record.encode()
        });
        let bytes = bytes.or_else(|_| {
            record.instances.iter_mut().for_each(|instance| instance.instance.refused = None);
            record.encode()
        });
        let bytes = bytes.map_err(io::Error::other)?;
        let slot = usize::from(record.seq % 2 == 1);
        self.slots[slot].write_all_at(&bytes, 0)?;
        (self.seq, self.versions[slot]) = (record.seq, record.v);
        Ok(())
    }

    /// What the operator wants; up, if nobody ever said anything.
    pub fn goal(&self) -> Goal {
        goals::read(&self.paths.goal)
    }

    /// Writes down what the operator wants, so that it survives a power cut.
    ///
    /// # Errors
    /// Those of pwrite(2) and fdatasync(2).
    pub fn set_goal(&self, goal: Goal) -> io::Result<()> {
        goals::write(&self.paths.goal, goal)
    }

    /// Reads the spec.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn spec(&self) -> Result<SpecFile, String> {
        let path = self.paths.spec();
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        SpecFile::decode(&bytes).map_err(|error| format!("cannot use {}: {error}", path.display()))
    }

    /// Puts the spec that was left for a reload in the place of the present one, which is kept aside. False if none was.
    ///
    /// # Errors
    /// Those of link(2) and rename(2).
    pub fn take_next_spec(&self) -> io::Result<bool> {
        if !self.paths.next_spec().exists() {
            return Ok(false);
        }
        let _ = fs::remove_file(self.paths.previous_spec()); // of a reload that was settled
        fs::hard_link(self.paths.spec(), self.paths.previous_spec())?;
        fs::rename(self.paths.next_spec(), self.paths.spec())?;
        Ok(true)
    }

    /// Whether a spec is kept aside.
    pub fn has_previous_spec(&self) -> bool {
        self.paths.previous_spec().exists()
    }

    /// The reload has worked: what was kept aside is not needed any more.
    pub fn keep_spec(&self) {
        let _ = fs::remove_file(self.paths.previous_spec()); // one that is left is settled by the next keeper
    }

    /// The reload has not worked: the spec that was kept aside holds again.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn restore_spec(&self) -> io::Result<()> {
        fs::rename(self.paths.previous_spec(), self.paths.spec())
    }

    /// Removes the spec: nobody shall keep the service any more. The records go with it: who keeps it again
    /// begins anew.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_file(self.paths.spec())?;
        let _ = fs::remove_file(self.paths.next_spec());
        let _ = fs::remove_file(self.paths.previous_spec());
        fs::remove_file(self.paths.record(0))?;
        fs::remove_file(self.paths.record(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::end::Why;
    use crate::model::name::ServiceName;
    use crate::model::phase::{Beside, Instance};
    use crate::paths::Paths;

    fn service(home: &tempfile::TempDir) -> ServicePaths {
        let service = Paths::below(home.path()).service(&ServiceName::new("web").unwrap());
        fs::create_dir_all(&service.dir).unwrap();
        fs::create_dir_all(service.goal.parent().unwrap()).unwrap();
        service
    }

    #[test]
    fn when_one_run_is_left_nothing_is_there_that_an_older_dogwatch_would_refuse() {
        let home = tempfile::tempdir().unwrap();
        let service = service(&home);
        let versions = || {
            [0, 1].map(|slot| Record::decode(&fs::read(service.record(slot)).unwrap()).map(|record| record.v))
        };
        let one = InstanceRecord::default();
        let beside = Some(Beside::Spawning { why: Why::Restarted });
        let two = InstanceRecord {
            instance: Instance { beside, ..Instance::default() },
            ..InstanceRecord::default()
        };
        let (mut store, _) = Store::open(&service).unwrap();
        [&one, &two, &one].into_iter().for_each(|record| store.save(record).unwrap());
        assert_eq!(versions(), [Ok(1), Ok(1)]);
        // Killed before it came to that: its successor does.
        store.save(&two).unwrap();
        store.write(&one).unwrap();
        assert!(versions().contains(&Ok(2)));
        let (mut successor, found) = Store::open(&service).unwrap();
        assert_eq!(found.as_ref(), Some(&one));
        successor.save(&one).unwrap();
        assert_eq!(versions(), [Ok(1), Ok(1)]);
    }

    #[test]
    fn remembers_over_a_reopening() {
        let home = tempfile::tempdir().unwrap();
        let service = service(&home);
        let (mut store, nothing) = Store::open(&service).unwrap();
        assert_eq!((nothing, store.goal()), (None, Goal::Up));
        for runs in 1..=5 {
            let instance = Instance { runs, ..Instance::default() };
            store.save(&InstanceRecord { instance, ..InstanceRecord::default() }).unwrap();
            let (_, found) = Store::open(&service).unwrap();
            assert_eq!(found.unwrap().instance.runs, runs);
        }
        let spec = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
        fs::write(service.spec(), "old").unwrap();
        assert!(!store.take_next_spec().unwrap() && !store.has_previous_spec());
        for _ in 0..2 {
            fs::write(service.next_spec(), "new").unwrap();
            assert!(store.take_next_spec().unwrap() && store.has_previous_spec());
            assert_eq!(
                (spec(service.spec()).as_str(), spec(service.previous_spec()).as_str()),
                ("new", "old")
            );
            store.restore_spec().unwrap();
            assert_eq!((spec(service.spec()).as_str(), store.has_previous_spec()), ("old", false));
        }
        for goal in [Goal::Down, Goal::Up, Goal::Down] {
            store.set_goal(goal).unwrap();
            assert_eq!(store.goal(), goal);
        }
    }
}
