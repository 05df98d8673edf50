//! What is accepted and what it means; what is refused and in which words; that nothing makes it panic.

use std::path::{Path, PathBuf};

use super::{Ecosystem, Mistakes, Surroundings, load};

mod any_text;
mod good;
mod mistakes;
mod shipped;
mod whole_file;

/// A folder with an ecosystem.toml and the env_files that the tests name.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("ecosystem.toml", text);
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Ecosystem, Mistakes> {
        load(&self.path("ecosystem.toml"), &around())
    }

    /// The mistakes as they are printed, with the folder left out of the file's name.
    fn mistakes(&self) -> String {
        let folder = format!("{}/", self.0.path().display());
        self.load().unwrap_err().to_string().replace(&folder, "")
    }
}

fn around() -> Surroundings {
    let env =
        [("PATH", "/usr/bin:/bin"), ("HOME", "/home/u"), ("USER", "u"), ("SHELL", "/bin/zsh"), ("EMPTY", "")];
    Surroundings { env: env.map(|(name, value)| (name.into(), value.into())).into() }
}

fn good(text: &str) -> Ecosystem {
    let folder = Folder::with(text);
    // The folder's name is random; what is loaded is compared with /srv in its place.
    let ecosystem = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    moved(ecosystem, folder.0.path())
}

fn moved(mut ecosystem: Ecosystem, from: &Path) -> Ecosystem {
    let to_srv = |path: &Path| match path.strip_prefix(from) {
        Ok(rest) => super::clean(&Path::new("/srv").join(rest)),
        Err(_) => path.to_owned(),
    };
    ecosystem.path = to_srv(&ecosystem.path);
    ecosystem.log_dir = to_srv(&ecosystem.log_dir);
    ecosystem.env_files = ecosystem.env_files.iter().map(|path| to_srv(path)).collect();
    for service in &mut ecosystem.services {
        service.cwd = to_srv(&service.cwd);
        service.log.dir = to_srv(&service.log.dir);
        service.command[0] = to_srv(Path::new(&service.command[0])).display().to_string();
    }
    ecosystem
}
