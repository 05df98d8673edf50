//! `dogwatch selfcheck`, which nobody types: a program that may soon run everything reads all that it will have to
//! read, and says in one line what came of it.

use std::fs;

use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::screen::print_json;
use crate::config;
use crate::exit_code;
use crate::model::name::ServiceName;
use crate::paths::{Paths, ServicePaths};
use crate::wire::record::Record;
use crate::wire::spec::SpecFile;
use crate::wire::upgrade::SelfCheck;
use crate::wire::{PROGRAM, VERSION, goal};

/// Prints a [`SelfCheck`].
///
/// # Errors
/// There is something that it cannot read; that has been said.
pub fn run(here: &Here) -> Outcome {
    let check = check(&here.paths, here.file_in_force().as_deref());
    print_json(&check)?;
    match check.problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::quiet(exit_code::FAILED)),
    }
}

fn check(paths: &Paths, file: Option<&std::path::Path>) -> SelfCheck {
    let mut check =
        SelfCheck { v: VERSION, version: PROGRAM.to_owned(), speaks: VERSION, ..SelfCheck::default() };
    if let Some(file) = file
        && let Err(mistakes) = config::load(file, &config::Surroundings::of_this_process())
    {
        let (file, count) = (file.display(), mistakes.len());
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        check
            .problems
            .push(format!("{file} has {count} {noun}, so nothing could be started from it:\n{mistakes}"));
    }
    for name in super::services::all(paths) {
        let service = paths.service(&name);
        for problem in [spec(&service), record(&service), goal(&service, &name)] {
            check.problems.extend(problem.err());
        }
        check.services += 1;
    }
    check
}

fn spec(service: &ServicePaths) -> Result<(), String> {
    let path = service.spec();
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    SpecFile::decode(&bytes).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

/// A record that is missing or damaged is none, to every version.
fn record(service: &ServicePaths) -> Result<(), String> {
    let slots = [0, 1].map(|slot| fs::read(service.record(slot)).unwrap_or_default());
    let shown = service.record(0);
    Record::newest([&slots[0], &slots[1]]).map(drop).map_err(|error| format!("{}: {error}", shown.display()))
}

fn goal(service: &ServicePaths, name: &ServiceName) -> Result<(), String> {
    match fs::read(&service.goal) {
        Ok(bytes) if !bytes.is_empty() && goal::decode(&bytes).is_none() => {
            Err(format!("{}: not a goal, so {name} would be started", service.goal.display()))
        }
        _ => Ok(()), // nobody has ever said anything
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::own;

    #[test]
    fn what_a_newer_dogwatch_wrote_is_named() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::below(home.path());
        let service = paths.service(&ServiceName::new("web").unwrap());
        for folder in paths.folders().iter().chain([&service.dir]) {
            own::make_folder(folder).unwrap();
        }
        let sample = include_str!("../../../tests/fixtures/spec-v1.json");
        fs::write(service.spec(), sample).unwrap();
        let good = check(&paths, None);
        assert_eq!((good.services, good.speaks, good.problems), (1, 1, vec![]));
        fs::write(service.spec(), sample.replacen("\"v\":1", "\"v\":2", 1)).unwrap();
        let record = Record { v: 3, seq: 1, boot_id: "b".to_owned(), instances: Vec::new() };
        fs::write(service.record(1), record.encode().unwrap()).unwrap();
        fs::write(&service.goal, "sideways").unwrap();
        let bad = check(&paths, None).problems;
        assert_eq!(bad.len(), 3);
        assert!(bad[0].ends_with("spec.json: written by a newer dogwatch (version 2, this program knows 1)"));
        assert!(bad[1].contains("newer dogwatch (record version 3, this program knows 2)"), "{bad:?}");
        assert!(bad[2].ends_with("web: not a goal, so web would be started"), "{bad:?}");
    }
}
