//! A file that is to become dogwatch: is it one, and can it read what is there?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::os::{capture, program};
use crate::wire::VERSION;
use crate::wire::upgrade::{Build, SelfCheck};

/// A program that has not read everything by then would not be quick enough to take over either.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that has passed.
#[derive(Debug)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What it says about itself.
    pub check: SelfCheck,
    /// Version and build.
    pub build: Build,
}

impl Candidate {
    /// Examines the file at `path` and has it check itself.
    ///
    /// # Errors
    /// Why it must not take over, in a sentence.
    pub fn examine(here: &Here, path: &Path) -> Outcome<Candidate> {
        let shown = path.display();
        let no = |why: String| Failure::failed(format!("cannot upgrade to {shown}: {why}"));
        program::examine(path).map_err(no)?;
        let mut command = Command::new(path);
        if let Some(home) = &here.home {
            command.arg("--home").arg(home);
        }
        let said = capture::capture(command.arg("selfcheck").current_dir("/"), PATIENCE)
            .map_err(|error| no(format!("it cannot be run: {error}")))?;
        let Some(exit) = said.exit else {
            return Err(no(format!("it did not finish its self-check within {} s", PATIENCE.as_secs())));
        };
        let Ok(check) = serde_json::from_slice::<SelfCheck>(&said.out) else {
            return Err(no(format!("it is no dogwatch that can take over (self-check: {exit})")));
        };
        if check.speaks < VERSION {
            let theirs = check.speaks;
            return Err(no(format!(
                "it is older: it knows version {theirs} of what dogwatch's processes tell each other, these speak {VERSION}"
            )));
        }
        if !check.problems.is_empty() || !exit.is_success() {
            let problems = check.problems.join("\n  ");
            return Err(no(format!("it cannot read what is there\n  {problems}")));
        }
        let build = program::build(path).map_err(|error| no(error.to_string()))?;
        let build = Build { version: check.version.clone(), build };
        Ok(Candidate { path: path.to_owned(), check, build })
    }
}
