//! Archived log files: how they get there, how many are kept. Their names: [`crate::wire::archive_name`].

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::model::retention::{Archive, Rules, excess};
use crate::os::fault;
use crate::os::folder::{Folder, Missing};
use crate::wire::archive_name::{ArchiveName, FOLDER, Form, index, log};
use crate::wire::log_index::{FLAGS_AT, FLUSHED, HEADER, Header};

/// Moves the log file of a stream into its archive, whose folders are made, and its index first, if it has one. Returns
/// where it is now. [`mend`] finishes it for one who was killed between the two.
///
/// # Errors
/// Those of [`Folder`]: what stands in the way is named by the path of the error's sentence.
pub fn put(logs: &Folder, log_dir: &Path, stem: &str, unix_ms: u64) -> io::Result<PathBuf> {
    let archive = logs.inner(FOLDER, Missing::Make)?;
    // The newest name sorts last, also of two in one millisecond, and when the clock was ahead before: what sorts first is
    // deleted first.
    let newest = Archives::find(logs, &[stem]).all().map(|archive| archive.at_ms).max();
    let free_ms = newest.map_or(0, |newest| newest.saturating_add(1));
    for at_ms in unix_ms.max(free_ms).. {
        let name = ArchiveName { stem: stem.to_owned(), at_ms, form: Form::Plain };
        let month = name.month();
        let folder = archive.inner(&month, Missing::Make)?;
        let is_taken = |form| folder.id_of(&name.in_form(form).to_string()).is_some();
        if is_taken(Form::Gzip) || is_taken(Form::Plain) {
            continue;
        }
        let its_index = name.in_form(Form::Index).to_string();
        match logs.move_file(&index(stem), &folder, &its_index) {
            Ok(()) => fault::point("after the index of a rotation"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        match logs.move_file(&log(stem), &folder, &name.to_string()) {
            Ok(()) => return Ok(log_dir.join(FOLDER).join(month).join(name.to_string())),
            Err(error) => {
                let _ = folder.move_file(&its_index, logs, &index(stem)); // there may have been none
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return Err(error);
                }
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The log of that stem will be put aside because somebody wants it empty: whoever looks at the last lines stops there.
pub fn mark_flushed(logs: &Folder, stem: &str) {
    let marked = logs.open_file(&index(stem), Missing::Fail).and_then(|(file, _)| {
        let mut start = [0; HEADER];
        file.read_exact_at(&mut start, 0)?;
        match Header::decode(&start) {
            Some(_) => file.write_all_at(&FLUSHED.to_le_bytes(), FLAGS_AT),
            None => Ok(()),
        }
    });
    let _ = marked; // without an index the last lines are those of before
}

/// Finishes what a predecessor was killed in: an index that was moved to the archive is followed by its log; one whose
/// log is gone goes, too. Returns what was archived so.
pub fn mend(logs: &Folder, log_dir: &Path, stem: &str) -> Option<PathBuf> {
    let all = Archives::find(logs, &[stem]);
    let mut archived = None;
    for (at, kept) in all.kept.iter().enumerate().filter(|(_, kept)| !kept.has_log()) {
        let last = at + 1 == all.kept.len();
        let name = ArchiveName { stem: stem.to_owned(), at_ms: kept.archive.at_ms, form: Form::Plain };
        let folder = &all.months[kept.month];
        let is_half = last && logs.id_of(&index(stem)).is_none();
        if is_half && logs.move_file(&log(stem), folder, &name.to_string()).is_ok() {
            archived = Some(log_dir.join(FOLDER).join(name.month()).join(name.to_string()));
        } else {
            let _ = folder.remove(&name.in_form(Form::Index).to_string());
        }
    }
    archived
}

/// The folder of an archive file, reached without being led elsewhere.
///
/// # Errors
/// Those of [`Folder`]; `InvalidInput` if the path is not that of an archive.
pub fn folder_of(archived: &Path) -> io::Result<(Folder, String)> {
    let name = |path: Option<&Path>| Some(path?.file_name()?.to_str()?.to_owned());
    let parts = || {
        let month = archived.parent()?;
        let archive = month.parent().filter(|archive| archive.ends_with(FOLDER))?;
        Some((archive.parent()?, name(Some(month))?, name(Some(archived))?))
    };
    let (logs, month, file) = parts().ok_or(io::ErrorKind::InvalidInput)?;
    let archive = Folder::open(logs, Missing::Fail)?.inner(FOLDER, Missing::Fail)?;
    Ok((archive.inner(&month, Missing::Fail)?, file))
}

/// All archived logs of one stream, oldest first, each once: one that is just being compressed is still there as it was.
pub fn list(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    let months = fs::read_dir(log_dir.join(FOLDER)).into_iter().flatten().flatten();
    let files = months.flat_map(|month| fs::read_dir(month.path()).into_iter().flatten().flatten());
    let named = files.filter_map(|file| Some((ArchiveName::parse(file.file_name().to_str()?)?, file.path())));
    let mut found: Vec<(ArchiveName, PathBuf)> =
        named.filter(|(name, _)| name.stem == stem && name.form != Form::Index).collect();
    found.sort_unstable();
    found.dedup_by_key(|(name, _)| name.at_ms);
    found.into_iter().map(|(_, path)| path).collect()
}

/// Deletes the archives of a service's logs that the rules do not keep. Returns when the next one expires, milliseconds
/// since 1970.
pub fn prune(logs: &Folder, stems: &[&str], rules: &Rules, now_ms: u64) -> Option<u64> {
    let all = Archives::find(logs, stems);
    let live = stems.iter().filter_map(|stem| logs.size_of(&log(stem))).sum();
    let archives: Vec<Archive> = all.kept.iter().map(|kept| kept.archive).collect();
    let gone = excess(&archives, live, rules, now_ms);
    for at in &gone {
        all.remove(&all.kept[*at], stems);
    }
    let stay = archives.iter().enumerate().filter(|(at, _)| !gone.contains(at));
    stay.filter_map(|(_, archive)| rules.expires(archive.at_ms)).min()
}

/// Deletes the oldest archive of a service's logs that can be deleted. Returns its name and size; none if there is none.
pub fn remove_oldest(logs: &Folder, stems: &[&str]) -> Option<(String, u64)> {
    let all = Archives::find(logs, stems);
    let oldest = all.kept.iter().find(|kept| kept.has_log() && all.remove(kept, stems))?;
    let stem = stems[oldest.archive.log].to_owned();
    let name = ArchiveName { stem, at_ms: oldest.archive.at_ms, form: Form::Plain };
    Some((name.to_string(), oldest.archive.bytes))
}

/// The name that a compressed file has until it is complete.
pub fn half_made(compressed: &str) -> String {
    format!("{compressed}.new")
}

/// The archives of some logs, oldest first.
pub struct Archives {
    months: Vec<Folder>,
    kept: Vec<Kept>,
}

/// One archive: its log in one form, or in two while it is being compressed, and its index.
struct Kept {
    archive: Archive,
    month: usize,
    forms: Vec<Form>,
}

impl Kept {
    fn has_log(&self) -> bool {
        self.forms.iter().any(|form| *form != Form::Index)
    }
}

impl Archives {
    /// Those of the logs with these stems; their `log` is the position of the stem.
    pub fn find(logs: &Folder, stems: &[&str]) -> Archives {
        let mut all = Archives { months: Vec::new(), kept: Vec::new() };
        let Ok(archive) = logs.inner(FOLDER, Missing::Fail) else { return all };
        for month in archive.names() {
            let Ok(folder) = archive.inner(&month, Missing::Fail) else { continue };
            let mut names: Vec<ArchiveName> =
                folder.names().iter().filter_map(|name| ArchiveName::parse(name)).collect();
            names.sort_unstable();
            for name in names {
                let Some(log) = stems.iter().position(|stem| *stem == name.stem) else { continue };
                let (at_ms, bytes) = (name.at_ms, folder.size_of(&name.to_string()).unwrap_or(0));
                let month = all.months.len();
                match all.kept.last_mut() {
                    Some(last)
                        if (last.archive.log, last.archive.at_ms, last.month) == (log, at_ms, month) =>
                    {
                        last.archive.bytes += bytes;
                        last.forms.push(name.form);
                    }
                    _ => all.kept.push(Kept {
                        archive: Archive { log, at_ms, bytes },
                        month,
                        forms: vec![name.form],
                    }),
                }
            }
            all.months.push(folder);
        }
        all.kept.sort_by_key(|kept| kept.archive.at_ms);
        all
    }

    /// All.
    pub fn all(&self) -> impl Iterator<Item = Archive> {
        self.kept.iter().map(|kept| kept.archive)
    }

    /// Deletes the one at that position of [`Archives::all`]; the stems are those it was found with.
    pub fn remove_at(&self, at: usize, stems: &[&str]) {
        self.remove(&self.kept[at], stems);
    }

    /// The index first: one without its log would be taken for a rotation that is half done. Tells whether the log is gone.
    fn remove(&self, kept: &Kept, stems: &[&str]) -> bool {
        let folder = &self.months[kept.month];
        let name = |form| {
            let stem = stems[kept.archive.log].to_owned();
            ArchiveName { stem, at_ms: kept.archive.at_ms, form }.to_string()
        };
        for form in [Form::Index, Form::Plain, Form::Gzip] {
            let name = name(form);
            // Compressed under another name meanwhile: next time. And what a helper that was killed has left of it.
            let _ = folder.remove(&name);
            let _ = folder.remove(&half_made(&name));
        }
        [Form::Plain, Form::Gzip].into_iter().all(|form| folder.id_of(&name(form)).is_none())
    }
}

/// Archives that are not compressed yet.
pub fn uncompressed(log_dir: &Path, stem: &str) -> Vec<PathBuf> {
    list(log_dir, stem).into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(keep: u32) -> Rules {
        Rules { keep, keep_for: None, budget: u64::MAX, growth: 0 }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            Folder::open(dir, Missing::Fail).map(|folder| folder.names()).unwrap_or_default();
        names.sort_unstable();
        names
    }

    #[test]
    fn names_are_free_sorted_and_the_streams_own() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let mut names = Vec::new();
        for n in 0..12 {
            fs::write(dir.path().join("web-out.log"), "x").unwrap();
            names.push(put(&logs, dir.path(), "web-out", 1_000_000_000_000 + n / 4).unwrap());
        }
        let folder = names[0].parent().unwrap();
        for other in ["web-out-out.20010909T014640.000Z.log", "web-out.log", "web-out.x.log"] {
            fs::write(folder.join(other), "x").unwrap();
        }
        assert_eq!(list(dir.path(), "web-out"), names);
        prune(&logs, &["web-out"], &rules(3), 0);
        assert_eq!(list(dir.path(), "web-out"), names[9..]);
        assert!(folder.join("web-out.log").exists());
        let (found, name) = folder_of(&names[11]).unwrap();
        assert!(found.is_at(folder) && names[11].ends_with(name));
        assert!(folder_of(&dir.path().join("web-out.log")).is_err());
    }

    #[test]
    fn the_newest_stays_also_when_the_clock_was_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let put_at = |unix_ms| {
            fs::write(dir.path().join("web-out.log"), "x").unwrap();
            put(&logs, dir.path(), "web-out", unix_ms).unwrap()
        };
        let (day, now) = (86_400_000, 1_000_000_000_000);
        let ahead = put_at(now + 40 * day);
        let later = [put_at(now), put_at(now + 1)];
        assert_eq!(list(dir.path(), "web-out"), [&[ahead][..], &later].concat());
        prune(&logs, &["web-out"], &rules(2), now + 1);
        assert_eq!(list(dir.path(), "web-out"), later);
    }

    #[test]
    fn what_cannot_be_deleted_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let month = dir.path().join("archive/2001-09");
        let (stuck, other) = ("web-out.20010909T014640.000Z.log", "web-out.20010909T014641.000Z.log");
        // A folder cannot be unlinked, whoever tries.
        fs::create_dir_all(month.join(stuck)).unwrap();
        fs::write(month.join(other), "x").unwrap();
        assert_eq!(remove_oldest(&logs, &["web-out"]).unwrap().0, other);
        assert_eq!(remove_oldest(&logs, &["web-out"]), None);
        assert!(month.join(stuck).exists());
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let theirs = elsewhere.path().join("web-out.20010909T014640.000Z.log");
        fs::write(&theirs, "not ours").unwrap();
        fs::write(dir.path().join("web-out.log"), "x").unwrap();
        let refused = |what: &str| {
            let error = put(&logs, dir.path(), "web-out", 1_000_000_000_000).unwrap_err().to_string();
            assert!(error.starts_with("it is a symbolic link"), "{what}: {error}");
            prune(&logs, &["web-out"], &rules(0), 0);
            assert!(theirs.exists(), "{what}");
            let through = dir.path().join("archive/2001-09/web-out.20010909T014640.000Z.log");
            assert!(folder_of(&through).is_err(), "{what}");
        };
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("archive")).unwrap();
        refused("archive");
        fs::remove_file(dir.path().join("archive")).unwrap();
        fs::create_dir(dir.path().join("archive")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("archive/2001-09")).unwrap();
        refused("month");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    /// An index, and what a SIGKILL leaves between the two renames of a rotation.
    #[test]
    fn an_index_goes_with_its_log_whatever_happens() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let month = dir.path().join("archive/2001-09");
        let write = |name: &str| fs::write(dir.path().join(name), name).unwrap();
        write("web-out.log");
        write("web-out.idx");
        put(&logs, dir.path(), "web-out", 1_000_000_000_000).unwrap();
        let first = ["web-out.20010909T014640.000Z.idx", "web-out.20010909T014640.000Z.log"];
        assert_eq!(names(&month), first);
        assert_eq!(names(dir.path()), ["archive"]);
        // Killed after the index was moved.
        write("web-out.log");
        fs::write(month.join("web-out.20010909T014640.500Z.idx"), "half").unwrap();
        let mended = mend(&logs, dir.path(), "web-out");
        assert_eq!(mended, Some(month.join("web-out.20010909T014640.500Z.log")));
        assert_eq!(names(&month).len(), 4);
        // Nothing is half done now.
        write("web-out.log");
        write("web-out.idx");
        assert_eq!(mend(&logs, dir.path(), "web-out"), None);
        // Somebody has deleted a log: its index is of no use, and the log that is written stays.
        fs::remove_file(month.join(first[1])).unwrap();
        fs::remove_file(month.join("web-out.20010909T014640.500Z.log")).unwrap();
        assert_eq!(mend(&logs, dir.path(), "web-out"), None);
        assert!(names(&month).is_empty());
        assert_eq!(names(dir.path()), ["archive", "web-out.idx", "web-out.log"]);
        // It cannot be archived: the index comes back.
        fs::remove_file(dir.path().join("web-out.log")).unwrap();
        put(&logs, dir.path(), "web-out", 1_000_000_000_000).unwrap_err();
        assert_eq!(names(dir.path()), ["archive", "web-out.idx"]);
    }

    #[test]
    fn rules_hold_for_all_logs_of_a_service_and_for_whatever_form() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Folder::open(dir.path(), Missing::Fail).unwrap();
        let at = |n: u64| 1_000_000_000_000 + n * 2_592_000_000; // months apart
        let mut paths = Vec::new();
        for n in 0..6 {
            let stem = ["web-out", "web-error"][n as usize % 2];
            fs::write(dir.path().join(format!("{stem}.log")), "0123456789").unwrap();
            paths.push(put(&logs, dir.path(), stem, at(n)).unwrap());
        }
        fs::write(dir.path().join("web-out.log"), "0123456789").unwrap();
        fs::rename(&paths[0], paths[0].with_extension("log.gz")).unwrap();
        let stems = ["web-out", "web-error"];
        let left = || paths.iter().filter(|path| path.exists()).count();
        let two_months = Some(std::time::Duration::from_millis(2 * 2_592_000_000));
        assert_eq!(prune(&logs, &stems, &Rules { keep_for: two_months, ..rules(9) }, at(2)), Some(at(3)));
        assert!(!paths[0].with_extension("log.gz").exists() && left() == 5);
        assert_eq!(prune(&logs, &stems, &Rules { budget: 35, ..rules(9) }, at(6)), None);
        assert_eq!((left(), paths[4].exists(), paths[5].exists()), (2, true, true));
        let (name, bytes) = remove_oldest(&logs, &stems).unwrap();
        assert!(paths[4].ends_with(name) && bytes == 10 && left() == 1);
        remove_oldest(&logs, &stems).unwrap();
        assert_eq!(remove_oldest(&logs, &stems), None);
    }
}
