//! What can be wrong with a configuration, and the words for it.
//!
//! The first line of a mistake says what is wrong; the text beside the underline says what to do about it.
//! Neither ever contains a value from an env_file: those are secrets.

use std::fmt;
use std::ops::Range;

use crate::model::name::NameError;
use crate::model::units::UnitError;

/// One mistake and its place.
#[derive(Debug, Clone)]
pub(super) struct Mistake {
    /// Bytes of the source; absent when the mistake is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// A part of that span to underline instead, if it is found there as it stands.
    pub part: Option<String>,
    /// What is wrong.
    pub kind: Kind,
}

/// A path of tables: `[services.web.log]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<String>);

impl Place {
    /// The table `name` in this one.
    pub fn inner(&self, name: &str) -> Place {
        let mut path = self.0.clone();
        path.push(name.to_owned());
        Place(path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("this file");
        }
        let bare = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        f.write_str("[")?;
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match bare(name) {
                true => write!(f, "{dot}{name}")?,
                false => write!(f, "{dot}{name:?}")?,
            }
        }
        f.write_str("]")
    }
}

/// A key and the table it stands in: `` `timeout` in [services.web.stop] ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    /// The key.
    pub key: String,
    /// Its table.
    pub place: Place,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.escape_debug();
        match self.place == Place::default() {
            true => write!(f, "`{key}`"),
            false => write!(f, "`{key}` in {}", self.place),
        }
    }
}

/// Every kind of mistake.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Kind {
    #[error("no {name} in {folder}: run `dogwatch init`, or name one with -f FILE")]
    NoFile { name: String, folder: String },
    #[error("cannot read it: {0}")]
    Unreadable(String),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("its path is not UTF-8 text")]
    PathNotUtf8,
    #[error("it has more than 1 MiB")]
    TooLarge,
    #[error("it is not UTF-8 text from here on")]
    NotUtf8,
    #[error("{0}")]
    Syntax(String),
    #[error("no service in this file")]
    NoServices,

    #[error("unknown key {at}")]
    UnknownKey { at: At, help: String },
    #[error("this version of dogwatch does not know {0} yet")]
    NotYet(At),
    #[error("`{key}` is missing in {place}")]
    Missing { key: &'static str, place: Place, help: String },
    #[error("{at} must be {expected}, not {found}")]
    WrongType { at: At, expected: &'static str, found: &'static str, help: String },
    #[error("{at} must not be empty")]
    Empty { at: At, help: &'static str },
    #[error("{0} contains a NUL character")]
    Nul(At),
    #[error("{at} must be {expected}")]
    OutOfRange { at: At, expected: &'static str, help: &'static str },
    #[error("{at}: {why}", why = first_part(&.why.to_string()))]
    Unit { at: At, why: UnitError },
    #[error("{at}: {why}", why = first_part(.why))]
    Grammar { at: At, why: String },
    #[error("{at} is {value:?}, which is not one of its words")]
    NotAWord { at: At, value: String, help: String },

    #[error("{} is not a {what}'s name: {}", .at, in_words_of(.what, .why))]
    Name { at: At, what: &'static str, why: NameError },
    #[error("the log files of `{name}` could be taken for archives of `{other}`")]
    LogCollision { name: String, other: String },
    #[error("{at}: variables are not expanded in a path")]
    VariableInPath { at: At },
    #[error("{at}: `~` is not expanded")]
    Tilde { at: At },

    #[error("{at} is a string, but no shell is asked for")]
    NoShell { at: At, help: String },
    #[error("{at} needs `command` as one string")]
    ShellArray { at: At },
    #[error("{at} must not contain {bad:?}")]
    VariableName { at: At, bad: char },
    #[error("the env_file {path} {why}")]
    EnvFile { path: String, why: String, help: String },
    #[error("{at}: the variable `{name}` is not set")]
    Unset { at: At, name: String, later: bool },
    #[error("{at}: {why}")]
    Expansion { at: At, why: String, help: String },

    #[error("{at}: {value:?} is not an address")]
    Address { at: At, value: String, help: String },
    #[error("{at}: port 0 means any free port, and nobody would know which")]
    PortZero { at: At },
    #[error("{at}: {address} can be reached from other machines")]
    NotLoopback { at: At, address: String },
    #[error("{at}: {address} is taken by {other}")]
    AddressTaken { at: At, address: String, other: String },

    #[error("{at}: there is no {what} `{name}`")]
    Dangling { at: At, what: &'static str, name: String, help: String },
    #[error("these services wait for each other: {0}")]
    Cycle(String),
    #[error("`{0}` waits for itself")]
    AfterItself(String),

    #[error("{at} is less than `limit`, {limit}")]
    MaxBelowLimit { at: At, limit: String },
    #[error("{at} is less than `delay`")]
    DelayAboveCap { at: At },
    #[error("{at}: a critical service is never given up")]
    CriticalGivesUp { at: At },
    #[error("{at}: {why}")]
    Ready { at: At, why: &'static str },
    #[error("{at}: {why}", why = first_part(.why))]
    Dress { at: At, why: &'static str },
    #[error("the log of `{name}`, whose streams are merged, would be {file}, which is a log of {owner}")]
    MergedCollision { name: String, file: String, owner: String },
    #[error("{at}: SIGSTOP only freezes a process")]
    StopFreezes { at: At },
}

impl Kind {
    /// What to do about it; stands beside the underline.
    pub fn help(&self) -> String {
        let fixed = match self {
            Kind::UnknownKey { help, .. }
            | Kind::Missing { help, .. }
            | Kind::WrongType { help, .. }
            | Kind::NotAWord { help, .. }
            | Kind::NoShell { help, .. }
            | Kind::EnvFile { help, .. }
            | Kind::Expansion { help, .. }
            | Kind::Address { help, .. }
            | Kind::Dangling { help, .. } => return help.clone(),
            Kind::Empty { help, .. } | Kind::OutOfRange { help, .. } => help,
            Kind::Unit { why, .. } => return second_part(&why.to_string()),
            Kind::Grammar { why, .. } => return second_part(why),
            Kind::Dress { why, .. } => return second_part(why),
            Kind::Unset { name, later: true, .. } => {
                return format!("move `{name}` above this line: a value sees only what stands before it");
            }
            Kind::Unset { name, .. } => {
                return format!("set it, or write ${{{name}:-default}}");
            }
            Kind::Unreadable(_) => "dogwatch must be able to read it",
            Kind::NotAFile => "name a file",
            Kind::PathNotUtf8 => "rename it, or the folder above it whose name is in other bytes",
            Kind::TooLarge => "no ecosystem needs that much: is it the right file?",
            Kind::NotUtf8 => "save it as UTF-8",
            Kind::NoFile { .. } | Kind::Syntax(_) => "",
            Kind::NoServices => "add at least: [services.NAME] with command = [\"./program\"]",
            Kind::NotYet(_) => "remove it until then",
            Kind::Nul(_) => "Linux has no such arguments, paths or variables",
            Kind::Name { .. } => "rename it",
            Kind::LogCollision { .. } => "rename one of the two",
            Kind::MergedCollision { .. } => "rename it, or leave its streams apart",
            Kind::VariableInPath { .. } => "write the path itself; relative ones begin at this file's folder",
            Kind::Tilde { .. } => "write the whole path; relative ones begin at this file's folder",
            Kind::ShellArray { .. } => "remove it, or write the command as one string",
            Kind::VariableName { .. } => "no program could read such a variable",
            Kind::PortZero { .. } => "choose a port",
            Kind::NotLoopback { .. } => {
                "use 127.0.0.1 or [::1]; a proxy or an ssh tunnel gives access from outside"
            }
            Kind::AddressTaken { .. } => "every address belongs to one service",
            Kind::Cycle(_) => "remove one of these names",
            Kind::AfterItself(_) => "remove it",
            Kind::MaxBelowLimit { .. } => {
                "max is the kernel's wall behind the limit; without it: 1.25 × limit"
            }
            Kind::DelayAboveCap { .. } => "max_delay is the longest delay",
            Kind::CriticalGivesUp { .. } => "remove it, or take the service out of what is critical",
            Kind::Ready { .. } => {
                "write \"notify\", { notify = true, timeout = \"30s\" } or { alive = \"1s\" }"
            }
            Kind::StopFreezes { .. } => "SIGTERM asks it to end",
        };
        fixed.to_owned()
    }

    /// Whether it says that something is not there: that may be only because a syntax error hides it.
    pub fn is_about_absence(&self) -> bool {
        matches!(self, Kind::Missing { .. } | Kind::Dangling { .. } | Kind::NoServices | Kind::Unset { .. })
    }
}

/// What cannot be read says why, then what would be right.
fn first_part(why: &str) -> String {
    why.split_once("; ").map_or(why, |(why, _)| why).to_owned()
}

fn second_part(why: &str) -> String {
    why.split_once("; ").map_or("", |(_, what)| what).to_owned()
}

/// Compartments follow the rules of service names, whose errors speak of services.
fn in_words_of(what: &str, why: &NameError) -> String {
    why.to_string().replace("service name", "name").replace("every service", &format!("every {what}"))
}
