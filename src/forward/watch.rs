//! Knows which logs were written and which were rotated, without looking at them again and again. Where the kernel has no
//! more watches to give, they are looked at four times a second.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::inotify::{Event, Watch, Watches};
use crate::own_log;

/// Where nothing can be watched, everything is looked at as often.
const LOOK: Duration = Duration::from_millis(250);

/// The logs.
#[derive(Debug)]
pub struct LogWatch {
    watches: Option<Watches>,
    logs: Vec<Log>,
    /// The folders of the logs, or what there is above them.
    folders: HashMap<Watch, PathBuf>,
    files: HashMap<Watch, usize>,
    /// A folder is not there yet.
    incomplete: bool,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// Its present file, and the one before, into which somebody may still write.
    present: Option<Watch>,
    former: Option<Watch>,
}

/// What has happened to the logs, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// They may have more.
    pub written: Vec<usize>,
    /// They were moved away, so many times.
    pub rotated: Vec<(usize, u64)>,
}

impl LogWatch {
    /// Watches these.
    pub fn new(logs: Vec<PathBuf>) -> LogWatch {
        let logs = logs.into_iter().map(|path| Log { path, present: None, former: None }).collect();
        let watches = Watches::new();
        if let Err(error) = &watches {
            complain(error);
        }
        let mut watch = LogWatch {
            watches: watches.ok(),
            logs,
            folders: HashMap::new(),
            files: HashMap::new(),
            incomplete: true,
        };
        watch.complete();
        watch
    }

    /// Is readable when there may be news; none: see [`LogWatch::pause`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watches.as_ref().map(AsFd::as_fd)
    }

    /// The longest wait until the logs are to be looked at.
    pub fn pause(&self) -> Option<Duration> {
        self.watches.is_none().then_some(LOOK)
    }

    /// What has happened since the last call.
    pub fn news(&mut self) -> News {
        let mut news = News::default();
        let Some(watches) = &self.watches else {
            news.written = (0..self.logs.len()).collect();
            return news;
        };
        let events = match watches.happened() {
            Ok(events) => events,
            Err(error) => {
                complain(&error);
                self.watches = None;
                return self.news();
            }
        };
        for event in events {
            match event {
                Event::Written(watch) => news.written.extend(self.files.get(&watch)),
                Event::Came(folder, name) => {
                    if let Some(log) = self.log(folder, &name) {
                        self.watch_file(log);
                        news.written.push(log);
                    } else if self.incomplete && self.complete() {
                        news.written.extend(0..self.logs.len());
                    }
                }
                Event::Went(folder, name) => {
                    if let Some(log) = self.log(folder, &name) {
                        news.rotated.push((log, 1));
                        news.written.push(log);
                    }
                }
                Event::Over(watch) => {
                    self.files.remove(&watch);
                    if self.folders.remove(&watch).is_some() {
                        self.incomplete = true;
                        self.complete();
                        news.written.extend(0..self.logs.len());
                    }
                }
                Event::Forgotten => {
                    for log in 0..self.logs.len() {
                        self.watch_file(log);
                        // More than there can have been: what was not seen is not known.
                        news.rotated.push((log, 1));
                        news.written.push(log);
                    }
                }
            }
        }
        news.written.sort_unstable();
        news.written.dedup();
        news
    }

    /// The log of that name in that folder.
    fn log(&self, folder: Watch, name: &OsString) -> Option<usize> {
        let path = self.folders.get(&folder)?.join(name);
        self.logs.iter().position(|log| log.path == path)
    }

    /// Watches the folders, and the files that there are. True if a folder has come.
    fn complete(&mut self) -> bool {
        self.incomplete = false;
        let folders: Vec<PathBuf> =
            self.logs.iter().filter_map(|log| Some(log.path.parent()?.to_owned())).collect();
        let mut news = false;
        for folder in folders {
            if self.folders.values().any(|known| *known == folder) {
                continue;
            }
            // The nearest one that there is: the others are made in it.
            let found = folder.ancestors().find_map(|above| Some((above, self.watch_folder(above)?)));
            match found {
                Some((above, watch)) => {
                    self.folders.insert(watch, above.to_owned());
                    self.incomplete |= above != folder;
                    news |= above == folder;
                }
                None => self.incomplete = true,
            }
        }
        for log in 0..self.logs.len() {
            self.watch_file(log);
        }
        news
    }

    fn watch_folder(&self, folder: &Path) -> Option<Watch> {
        self.watches.as_ref()?.folder(folder).ok()
    }

    /// Watches the file that has the log's name now. The one that had it before may still be written to for a moment.
    fn watch_file(&mut self, number: usize) {
        let Some(watches) = &self.watches else { return };
        let log = &mut self.logs[number];
        let watch = match watches.file(&log.path) {
            Ok(watch) => watch,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                complain(&error);
                self.watches = None;
                return;
            }
        };
        if log.present == Some(watch) {
            return;
        }
        if let Some(old) = std::mem::replace(&mut log.former, log.present) {
            self.files.remove(&old);
            watches.remove(old);
        }
        log.present = Some(watch);
        self.files.insert(watch, number);
    }
}

fn complain(error: &std::io::Error) {
    let text = format!(
        "logs cannot be watched, so they are looked at four times a second: {error}; more watches: sysctl \
         fs.inotify.max_user_watches, fs.inotify.max_user_instances"
    );
    own_log::line("forward", &text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;

    #[test]
    fn a_log_is_known_from_before_its_folder_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("var/logs");
        let path = logs.join("web-out.log");
        let mut watch = LogWatch::new(vec![path.clone(), logs.join("web-error.log")]);
        assert_eq!(watch.news(), News::default());
        fs::create_dir_all(&logs).unwrap();
        assert_eq!(
            watch.news().written,
            [0, 1],
            "the folder has come, and perhaps a file before it was watched"
        );
        let mut file = File::create(&path).unwrap();
        assert_eq!(watch.news().written, [0]);
        file.write_all(b"a line\n").unwrap();
        assert_eq!(watch.news().written, [0]);
        assert_eq!(watch.news(), News::default());
        for _ in 0..3 {
            fs::create_dir_all(logs.join("archive")).unwrap();
            fs::rename(&path, logs.join("archive/1")).unwrap();
            file.write_all(b"late\n").unwrap();
            let next = File::create(&path).unwrap();
            assert_eq!(watch.news(), News { written: vec![0], rotated: vec![(0, 1)] });
            file.write_all(b"later\n").unwrap();
            assert_eq!(watch.news().written, [0], "the old file is still watched");
            file = next;
        }
        assert!(watch.files.len() <= 3, "{:?}", watch.files);
    }
}
