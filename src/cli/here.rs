//! Which dogwatch a command is about: its folders, its file, its socket.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fail::{Failure, Outcome};
use crate::config;
use crate::exit_code;
use crate::os::{own, users};
use crate::paths::{self, Paths, Surroundings};

/// One dogwatch, running or not.
#[derive(Debug, Clone)]
pub struct Here {
    /// Its folders.
    pub paths: Paths,
    /// The folder that `--home` named, or the home of the current folder, absolute; none: the default folders.
    pub home: Option<PathBuf>,
    /// The file that `-f` named, absolute.
    named: Option<PathBuf>,
    cwd: PathBuf,
}

impl Here {
    /// From the options, the environment and the current folder.
    ///
    /// # Errors
    /// No current folder; no place to keep state.
    pub fn new(home: Option<PathBuf>, file: Option<PathBuf>) -> Outcome<Here> {
        let named = home.filter(|home| !home.as_os_str().is_empty());
        let cwd = current_folder()?;
        Here::exactly(named.or_else(|| paths::home_of(&cwd, own::effective_uid())), file)
    }

    /// The same without a look at the current folder: for the control plane, which was told its home.
    ///
    /// # Errors
    /// As [`Here::new`].
    pub fn exactly(home: Option<PathBuf>, file: Option<PathBuf>) -> Outcome<Here> {
        let cwd = current_folder()?;
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = home.filter(|home| !home.as_os_str().is_empty());
        let home = home.map(|home| cwd.join(home).components().collect::<PathBuf>());
        let around = Surroundings {
            home_flag: home.clone(),
            euid: own::effective_uid(),
            home: folder("HOME"),
            xdg_runtime: folder("XDG_RUNTIME_DIR"),
            cwd: cwd.clone(),
        };
        Ok(Here {
            paths: Paths::resolve(&around).map_err(|text| Failure::new(exit_code::USAGE, text))?,
            home,
            named: file.map(|file| cwd.join(file).components().collect()),
            cwd,
        })
    }

    /// Whether this user may have to do with it at all. To be asked first: who may not look would find nothing running.
    ///
    /// # Errors
    /// It is another user's.
    pub fn need_access(&self) -> Outcome {
        let run = &self.paths.run;
        match std::fs::read_dir(run) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                // What can be seen of the way there belongs to the same user.
                let owner =
                    run.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|about| about.uid());
                let owner = owner.and_then(users::name_of).unwrap_or_else(|| "another user".to_owned());
                let text = format!(
                    "the dogwatch in {} is {owner}'s: this user may neither see nor control it",
                    run.display()
                );
                Err(Failure::failed(text).hint(format!("run it as {owner}")))
            }
            _ => Ok(()),
        }
    }

    /// The current folder.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The ecosystem file: the one that was named, else the one in this folder, else the one in force.
    pub fn file(&self) -> Option<PathBuf> {
        if self.named.is_some() {
            return self.named.clone();
        }
        let local = self.cwd.join(config::FILE_NAME);
        if local.exists() {
            return Some(local);
        }
        self.file_in_force().filter(|file| file.exists())
    }

    /// The file that `-f` named.
    pub fn file_as_typed(&self) -> Option<PathBuf> {
        self.named.clone()
    }

    /// Where the ecosystem file was when the control plane was started last.
    pub fn file_in_force(&self) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.paths.ecosystem()).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n'))).filter(|path| path.is_absolute())
    }

    /// The same, or what to do without one.
    ///
    /// # Errors
    /// There is none.
    pub fn need_file(&self) -> Outcome<PathBuf> {
        self.file().ok_or_else(|| {
            let folder = self.cwd.display();
            Failure::new(exit_code::CONFIG, format!("no {} in {folder}", config::FILE_NAME))
                .hint("run `dogwatch init`, or name one with -f FILE")
        })
    }
}

fn current_folder() -> Outcome<PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))
}
