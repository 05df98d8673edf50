//! The names of archived log files: what the keeper writes, and whoever reads logs finds.
//!
//! ```text
//! LOG_DIR/web-out.log                                     the log of a stream; its stem is `web-out`
//! LOG_DIR/web.log                                         the log of both, where they are merged; its stem is `web`
//! LOG_DIR/web-out.idx                                     its index, if it has one
//! LOG_DIR/archive/2026-11/web-out.20261122T190500.123Z.log      an archive: moved there at that moment, UTC
//! LOG_DIR/archive/2026-11/web-out.20261122T190500.123Z.log.gz   the same, compressed
//! LOG_DIR/archive/2026-11/web-out.20261122T190500.123Z.idx      its index, of the file before compression
//! ```
//! The month of the folder is that of the stamp. No two archives of a stream have the same stamp: when two are made in
//! one millisecond, the later one takes the next one. So the names of a stream's archives sort by age.

use std::fmt;

use super::log_line::StreamName;
use crate::model::calendar::{parse_utc_stamp, utc_stamps};

/// The folder of the archives' months, in the log folder.
pub const FOLDER: &str = "archive";
/// Length of a stamp.
const STAMP: usize = "20261122T190500.123Z".len();

/// What stands in a file of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The log as it was written.
    Plain,
    /// The same, by gzip.
    Gzip,
    /// The index of it.
    Index,
}

impl Form {
    const ALL: [Form; 3] = [Form::Plain, Form::Gzip, Form::Index];

    /// What its name ends in.
    pub fn suffix(self) -> &'static str {
        match self {
            Form::Plain => ".log",
            Form::Gzip => ".log.gz",
            Form::Index => ".idx",
        }
    }
}

/// The name of a file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveName {
    /// Which log it was: `web-out` or `web-error` of the service `web`, or `web`.
    pub stem: String,
    /// When it was moved there, milliseconds since 1970; unique among the archives of the stem.
    pub at_ms: u64,
    /// What stands in it.
    pub form: Form,
}

impl ArchiveName {
    /// Reads the name of a file; none if it is not that of an archive.
    pub fn parse(name: &str) -> Option<ArchiveName> {
        let (form, rest) =
            Form::ALL.into_iter().find_map(|form| Some((form, name.strip_suffix(form.suffix())?)))?;
        let (stem, stamp) = rest.split_at_checked(rest.len().checked_sub(STAMP)?)?;
        let stem = stem.strip_suffix('.').filter(|stem| !stem.is_empty())?;
        Some(ArchiveName { stem: stem.to_owned(), at_ms: parse_utc_stamp(stamp)?, form })
    }

    /// The folder it lies in, below [`FOLDER`].
    pub fn month(&self) -> String {
        utc_stamps(self.at_ms).0
    }

    /// The name of the same archive's file in another form.
    #[must_use]
    pub fn in_form(&self, form: Form) -> ArchiveName {
        ArchiveName { form, ..self.clone() }
    }

    /// The service whose log it was; none if the stem is not that of a log.
    pub fn service(&self) -> Option<&str> {
        let streams = ["-out", "-error"];
        streams.iter().find_map(|stream| self.stem.strip_suffix(stream))
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}{}", self.stem, utc_stamps(self.at_ms).1, self.form.suffix())
    }
}

/// The stem of a service's log: `web-out`, `web-error`, or `web` where both streams go into one.
pub fn stem(service: &str, stream: StreamName) -> String {
    match stream {
        StreamName::Out | StreamName::Error => format!("{service}-{}", stream.word()),
        StreamName::Merged => service.to_owned(),
    }
}

/// The stems of a service's logs; also of those that it had before its streams were merged, or while they were.
pub fn stems(service: &str, merged: bool) -> Vec<String> {
    let merged = (merged || owns_merged(service)).then_some(StreamName::Merged);
    let all = [StreamName::Out, StreamName::Error].into_iter().chain(merged);
    all.map(|stream| stem(service, stream)).collect()
}

/// Whether the log that a service has if its streams are merged is its own even if they are not: `web-out.log` is that of a
/// stream of `web`, and dogwatch has one, too.
pub fn owns_merged(service: &str) -> bool {
    !service.ends_with("-out") && !service.ends_with("-error") && service != "dogwatch"
}

/// The name of the log of a stem.
pub fn log(stem: &str) -> String {
    format!("{stem}{}", Form::Plain.suffix())
}

/// The name of that log's index.
pub fn index(stem: &str) -> String {
    format!("{stem}{}", Form::Index.suffix())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        let name = ArchiveName { stem: "web-out".to_owned(), at_ms: 1_795_374_300_123, form: Form::Gzip };
        assert_eq!(name.to_string(), "web-out.20261122T190500.123Z.log.gz");
        assert_eq!((name.month().as_str(), name.service()), ("2026-11", Some("web")));
        assert_eq!(name.in_form(Form::Index).to_string(), "web-out.20261122T190500.123Z.idx");
        assert_eq!(stems("web", true), ["web-out", "web-error", "web"]);
        assert_eq!(stems("web", false), ["web-out", "web-error", "web"], "its streams may have been merged");
        assert_eq!(stems("web-out", false), ["web-out-out", "web-out-error"], "`web-out` is one of `web`");
        assert_eq!(stems("web-out", true).len(), 3, "there is no `web`");
        assert_eq!((log("web-out").as_str(), index("web-out").as_str()), ("web-out.log", "web-out.idx"));
        for other in [
            "web-out.log",
            "web-out.x.log",
            ".20261122T190500.123Z.log",
            "20261122T190500.123Z.log",
            "web-out.20261322T190500.123Z.log",
            "web-out.20261122T190500.123Z.log.gz.new",
            "web-out.20261122T190500.123Z.1.log",
            "é20261122T190500.123Z.log",
        ] {
            assert_eq!(ArchiveName::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stem in "[a-z0-9._-]{1,64}", at_ms in 0_u64..253_402_300_800_000, form in 0..3_usize) {
            let name = ArchiveName { stem, at_ms, form: Form::ALL[form] };
            prop_assert_eq!(ArchiveName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn names_of_a_stem_sort_by_age(one in 0_u64..253_402_300_800_000, other in 0_u64..253_402_300_800_000) {
            let name = |at_ms| ArchiveName { stem: "web-out".to_owned(), at_ms, form: Form::Plain }.to_string();
            prop_assert_eq!(one.cmp(&other), name(one).cmp(&name(other)));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = ArchiveName::parse(&text);
        }
    }
}
