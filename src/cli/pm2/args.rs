//! pm2's command line.
//!
//! What is not here yet says so by name (`later`): a command or an option that is quietly ignored would be worse.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{later, target};
use crate::config::pm2_file::parse_memory;
use crate::model::date_format::DateFormat;

/// A command of pm2's that dogwatch obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pm2Command {
    /// `start`.
    Start(Start),
    /// `stop`: names, ids or `all`.
    Stop(Vec<String>),
    /// `restart`.
    Restart(Restart),
    /// `reload`: takes the same options.
    Reload(Restart),
    /// `list`, `ls`, `l`, `ps`, `status`.
    List,
    /// `show`, `describe`, `desc`, `info`: a name or an id.
    Show(String),
    /// `logs`, `log`.
    Logs(Logs),
    /// `flush`: names, ids or `all`; nothing means all.
    Flush(Vec<String>),
    /// `reloadLogs`.
    ReloadLogs,
    /// `jlist`.
    Jlist,
    /// `ping`.
    Ping,
    /// `pid`: of one, or of all.
    Pid(Option<String>),
    /// `id`: the ids of a name.
    Id(String),
    /// `help`, `-h`, `--help`.
    Help,
    /// `-v`, `-V`, `--version`.
    Version,
}

/// The options that every command takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// `--silent`: only answers are printed.
    pub silent: bool,
    /// `--no-color`.
    pub no_colour: bool,
    /// `--mini-list`: the narrow table.
    pub mini: bool,
}

/// `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What to start.
    pub what: StartWhat,
    /// `--max-memory-restart`, bytes.
    pub max_memory_restart: Option<u64>,
    /// `--name`.
    pub name: Option<String>,
    /// `--update-env`; dogwatch always starts with the present environment of the entry.
    pub update_env: bool,
}

/// What `start` is told to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartWhat {
    /// Names, ids or `all`.
    Targets(Vec<String>),
    /// A pm2 ecosystem file; `only` these of it, or all if empty.
    File {
        /// As written.
        path: PathBuf,
        /// `--only a,b`.
        only: Vec<String>,
    },
}

/// `restart` or `reload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// Names, ids or `all`.
    pub targets: Vec<String>,
    /// `--update-env`; dogwatch always restarts with the present entry.
    pub update_env: bool,
    /// `--max-memory-restart`, bytes.
    pub max_memory_restart: Option<u64>,
}

/// `logs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// A name or an id; all, if absent.
    pub target: Option<String>,
    /// Lines of each file to show first.
    pub lines: usize,
    /// Go on with what is written from now on.
    pub follow: bool,
    /// What the lines look like.
    pub shape: LogShape,
    /// `--timestamp`: the time before each line.
    pub timestamp: Option<DateFormat>,
    /// `--highlight`: this text is marked, on a terminal.
    pub highlight: Option<String>,
    /// Which of the two files.
    pub streams: Streams,
}

/// What the lines of `logs` look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogShape {
    /// With a prefix, under headings.
    Usual,
    /// `--raw`: without a prefix.
    Raw,
    /// `--json`: one object a line.
    Json,
    /// `--format`: pairs of key and value.
    Pairs,
}

/// Which output of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Standard output and standard error.
    Both,
    /// `--out`.
    Out,
    /// `--err`.
    Err,
}

/// pm2's own default of `--lines`.
const LINES: usize = 15;

/// pm2's own default of `--timestamp`.
const TIME: &str = "YYYY-MM-DD-HH:mm:ss";

/// An option: its long name, its short one, and whether it takes a value.
type Flag = (&'static str, &'static str, Takes);

/// The value of an option.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// None.
    Nothing,
    /// One, like this one.
    Value(&'static str),
    /// The next word, unless that is an option; else this.
    Perhaps(&'static str),
}
use Takes::{Nothing, Perhaps, Value};

const SILENT: Flag = ("--silent", "-s", Nothing);
const NO_COLOUR: Flag = ("--no-color", "", Nothing);
const MINI: Flag = ("--mini-list", "-m", Nothing);
const EVERYWHERE: [Flag; 3] = [SILENT, NO_COLOUR, MINI];
const MEMORY: Flag = ("--max-memory-restart", "", Value("1G"));
const UPDATE_ENV: Flag = ("--update-env", "-a", Nothing);

/// The options of [`EVERYWHERE`] among the words after `pm2`.
pub fn manner(args: &[String]) -> Manner {
    let has = |(long, short, _): Flag| args.iter().any(|arg| arg == long || arg == short);
    Manner { silent: has(SILENT), no_colour: has(NO_COLOUR), mini: has(MINI) }
}

/// Reads the words after `pm2`.
///
/// # Errors
/// A sentence for standard error; the exit code is 1.
pub fn parse(args: &[String]) -> Result<Pm2Command, String> {
    let everywhere = |arg: &&String| EVERYWHERE.iter().any(|(long, short, _)| *arg == long || *arg == short);
    let flags_before = args.iter().take_while(everywhere).count();
    let Some((command, rest)) = args[flags_before..].split_first() else {
        return Err("pm2: no command; try: pm2 list, pm2 logs NAME, pm2 restart NAME, pm2 help".to_owned());
    };
    // As in pm2: who asks for help gets it, whatever else stands there.
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        return Ok(Pm2Command::Help);
    }
    let line = |flags: &[Flag]| Line::read(command, rest, flags);
    match command.as_str() {
        "start" => start(line(&[
            MEMORY,
            UPDATE_ENV,
            ("--name", "-n", Value("web")),
            ("--only", "", Value("web,api")),
        ])?),
        "stop" => line(&[])?.targets().map(Pm2Command::Stop),
        "restart" => restart(line(&[MEMORY, UPDATE_ENV])?).map(Pm2Command::Restart),
        "reload" => restart(line(&[MEMORY, UPDATE_ENV])?).map(Pm2Command::Reload),
        "list" | "ls" | "l" | "ps" | "status" => line(&[])?.none().map(|()| Pm2Command::List),
        "show" | "describe" | "desc" | "info" => line(&[])?.one().map(Pm2Command::Show),
        "logs" | "log" => logs(line(&[
            ("--lines", "-n", Value("50")),
            ("--nostream", "", Nothing),
            ("--raw", "", Nothing),
            ("--json", "", Nothing),
            ("--format", "", Nothing),
            ("--timestamp", "", Perhaps(TIME)),
            ("--highlight", "", Value("error")),
            ("--err", "", Nothing),
            ("--out", "", Nothing),
        ])?),
        "reloadLogs" => line(&[])?.none().map(|()| Pm2Command::ReloadLogs),
        "flush" => Ok(Pm2Command::Flush(line(&[])?.words)),
        "jlist" => line(&[])?.none().map(|()| Pm2Command::Jlist),
        "ping" => line(&[])?.none().map(|()| Pm2Command::Ping),
        "pid" => line(&[])?.one_or_none().map(Pm2Command::Pid),
        "id" => line(&[])?.one().map(Pm2Command::Id),
        "help" | "-h" | "--help" => Ok(Pm2Command::Help),
        "-v" | "-V" | "--version" => Ok(Pm2Command::Version),
        other => Err(later::command(other)),
    }
}

fn start(line: Line<'_>) -> Result<Pm2Command, String> {
    let max_memory_restart = line.memory()?;
    let name = line.value("--name").map(str::to_owned);
    let update_env = line.has("--update-env");
    let only: Option<Vec<String>> =
        line.value("--only").map(|list| list.split(',').map(|name| name.trim().to_owned()).collect());
    let what = match line.words.iter().find(|word| is_file(word)) {
        Some(_) if line.words.len() > 1 => {
            return Err("pm2 start: an ecosystem file stands alone; choose of it with --only a,b".to_owned());
        }
        Some(file) => StartWhat::File { path: file.into(), only: only.unwrap_or_default() },
        // pm2 without a word takes this file.
        None if line.words.is_empty() => {
            StartWhat::File { path: "ecosystem.config.js".into(), only: only.unwrap_or_default() }
        }
        None if only.is_some() => {
            return Err("pm2 start --only: chooses from an ecosystem file, and none is named".to_owned());
        }
        None => StartWhat::Targets(line.targets()?),
    };
    Ok(Pm2Command::Start(Start { what, max_memory_restart, name, update_env }))
}

fn restart(line: Line<'_>) -> Result<Restart, String> {
    Ok(Restart {
        max_memory_restart: line.memory()?,
        update_env: line.has("--update-env"),
        targets: line.targets()?,
    })
}

fn logs(line: Line<'_>) -> Result<Pm2Command, String> {
    let lines = match line.value("--lines") {
        None => LINES,
        Some(text) => text
            .parse()
            .map_err(|_| format!("pm2 logs --lines: {text:?} is not a number; try: --lines 50"))?,
    };
    let streams = match (line.has("--out"), line.has("--err")) {
        (true, false) => Streams::Out,
        (false, true) => Streams::Err,
        (true, true) | (false, false) => Streams::Both,
    };
    let shapes = [("--json", LogShape::Json), ("--format", LogShape::Pairs), ("--raw", LogShape::Raw)];
    let shape = shapes.iter().find(|(flag, _)| line.has(flag)).map_or(LogShape::Usual, |(_, shape)| *shape);
    // As in pm2 the word behind it is its format, even if it was meant as a name.
    let timestamp = line.value("--timestamp").map(DateFormat::parse).transpose();
    let timestamp = timestamp.map_err(|why| {
        format!("pm2 logs --timestamp: {why}; a service is named before: pm2 logs NAME --timestamp")
    })?;
    Ok(Pm2Command::Logs(Logs {
        lines,
        streams,
        shape,
        timestamp,
        highlight: line.value("--highlight").map(str::to_owned),
        follow: !line.has("--nostream"),
        target: line.one_or_none()?.filter(|target| target != "all"),
    }))
}

/// pm2 knows its ecosystem files by what their names contain.
fn is_file(word: &str) -> bool {
    const PARTS: [&str; 6] = [".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs"];
    PARTS.iter().any(|part| word.contains(part))
}

/// One command's words and options.
struct Line<'a> {
    command: &'a str,
    words: Vec<String>,
    flags: BTreeMap<&'static str, Option<String>>,
}

impl<'a> Line<'a> {
    fn read(command: &'a str, args: &[String], allowed: &[Flag]) -> Result<Line<'a>, String> {
        let mut line = Line { command, words: Vec::new(), flags: BTreeMap::new() };
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            if !arg.starts_with('-') || arg == "-" {
                line.words.push(arg.clone());
                if let Some(Err(why)) = target::pattern(arg) {
                    return Err(format!("pm2 {command} {}: {why}", arg.escape_debug()));
                }
                continue;
            }
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            let known = allowed.iter().chain(&EVERYWHERE);
            let Some((long, _, takes)) =
                known.into_iter().find(|(long, short, _)| name == *long || name == *short)
            else {
                return Err(later::form(command, name));
            };
            let value = match takes {
                Nothing => None,
                Perhaps(usual) => {
                    let next = || args.next_if(|next| !next.starts_with('-')).cloned();
                    Some(inline.or_else(next).unwrap_or_else(|| (*usual).to_owned()))
                }
                Value(example) => {
                    let value = inline.or_else(|| args.next().cloned());
                    Some(value.ok_or_else(|| {
                        format!("pm2 {command} {long}: needs a value; try: {long} {example}")
                    })?)
                }
            };
            line.flags.insert(long, value);
        }
        Ok(line)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    fn value(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag)?.as_deref()
    }

    fn memory(&self) -> Result<Option<u64>, String> {
        let Some(text) = self.value(MEMORY.0) else {
            return Ok(None);
        };
        parse_memory(text).map(Some).ok_or_else(|| {
            format!(
                "pm2 {} {}: {text:?} is not a size; write digits and K, M or G, like 512M",
                self.command, MEMORY.0
            )
        })
    }

    /// At least one name, id or `all`.
    fn targets(self) -> Result<Vec<String>, String> {
        let Line { command, words, .. } = self;
        if words.is_empty() {
            return Err(format!("pm2 {command}: name a service, its id, or all"));
        }
        let is_path = |word: &str| word.starts_with('/') && target::pattern(word).is_none();
        let later = |word: &&String| is_file(word) || is_path(word) || *word == "-";
        match words.iter().find(later) {
            Some(word) => Err(later::form(command, word)),
            None => Ok(words),
        }
    }

    fn one(self) -> Result<String, String> {
        let command = self.command;
        let missing = || format!("pm2 {command}: name a service or its id");
        self.one_or_none()?.ok_or_else(missing)
    }

    fn one_or_none(mut self) -> Result<Option<String>, String> {
        match self.words.len() {
            0 | 1 => Ok(self.words.pop()),
            _ => Err(format!("pm2 {}: one service at a time", self.command)),
        }
    }

    fn none(self) -> Result<(), String> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(later::form(self.command, word)),
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
