//! The logs of several services as one stream, on standard output.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use super::fail::{Failure, Outcome};
use super::screen::{Colour, Screen, print, print_bytes, tell, wait_while_read};
use crate::exit_code;
use crate::logs::files::Stream;
use crate::logs::former;
use crate::logs::reading::{Event, Reading};
use crate::logs::render::{Label, Look, Renderer};
use crate::logs::source::{Filter, Source, Start};
use crate::model::units::show_size;
use crate::wire::log_line::StreamName;
use crate::wire::status::ServiceStatus;

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_millis(100);
/// The same while lines wait that may be overtaken by older ones.
const SOON: Duration = Duration::from_millis(20);
/// Written at a time, bytes.
const BATCH: usize = 64 * 1024;
/// A search that takes longer than this says how far it is, this often.
const PROGRESS: Duration = Duration::from_millis(500);

/// Which of a service's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    /// Standard output.
    pub out: bool,
    /// Standard error.
    pub err: bool,
}

impl Which {
    /// Whether a log is one of them. What is merged is always: it holds lines of either.
    pub fn has(self, stream: StreamName) -> bool {
        match stream {
            StreamName::Out => self.out,
            StreamName::Error => self.err,
            StreamName::Merged => true,
        }
    }
}

/// A log, and what its lines look like.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// Its present file.
    pub path: PathBuf,
    /// Whose it is.
    pub label: Label,
}

/// The logs that are shown.
#[derive(Debug)]
pub struct Logs {
    files: Vec<LogFile>,
    reading: Reading,
    renderer: Renderer,
    out: Vec<u8>,
    /// Something could not be read.
    incomplete: bool,
}

/// The logs of these services, and those of before their streams were merged, or apart. Lines get a prefix if `named`.
pub fn files_of(services: &[&ServiceStatus], which: Which, named: bool, screen: Screen) -> Vec<LogFile> {
    let width = services.iter().map(|service| service.name.as_str().len()).max();
    let width = width.unwrap_or(0);
    let mut files = Vec::new();
    for (number, service) in services.iter().enumerate() {
        let label = format!("{:width$} |", service.name);
        let prefix = match named {
            true => screen.paint(Colour::Tag(number), &label) + " ",
            false => String::new(),
        };
        let present = service.logs().map(|(stream, path)| (stream, path.clone()));
        for (stream, path) in present.chain(former::of(service)).filter(|(stream, _)| which.has(*stream)) {
            let (service, dress) = (service.name.to_string(), service.log_dress.clone());
            files.push(LogFile { path, label: Label { service, stream, dress, prefix: prefix.clone() } });
        }
    }
    files
}

impl Logs {
    /// These files, from `start` on, as far as they were written by now.
    ///
    /// # Errors
    /// A file has no name of a log.
    pub fn new(files: Vec<LogFile>, filter: &Filter, start: Start, look: Look) -> Outcome<Logs> {
        let mut sources = Vec::new();
        for file in &files {
            let stream = Stream::new(&file.path).ok_or_else(|| {
                Failure::failed(format!("{} is not called like a log: NAME.log", file.path.display()))
            })?;
            sources.push(Source::new_or_later(stream, filter.clone(), start));
        }
        let labels = files.iter().map(|file| file.label.clone()).collect();
        let renderer = Renderer::new(labels, look, TimeZone::system());
        Ok(Logs { files, reading: Reading::new(sources), renderer, out: Vec::new(), incomplete: false })
    }

    /// Prints what was written; also a line that is not finished, if `finish`.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn print_history(&mut self, finish: bool) -> Outcome {
        self.print_range(0..self.files.len(), finish)
    }

    fn print_range(&mut self, which: Range<usize>, finish: bool) -> Outcome {
        let Logs { reading, renderer, out, .. } = self;
        let mut progress = Progress::new();
        let give = |event: Event<'_>| {
            match event {
                Event::Line(source, line) => renderer.line(source, line, out),
                Event::Progress(bytes) => progress.show(bytes),
            }
            if out.len() >= BATCH || (progress.is_shown() && !out.is_empty()) {
                progress.hide();
                return flush(out);
            }
            Ok(())
        };
        reading.history(which, finish, give)?;
        progress.hide();
        renderer.finish(out);
        flush(out)?;
        self.tell_troubles();
        Ok(())
    }

    /// The same, one file after the other, each under a heading, as pm2 has it.
    ///
    /// # Errors
    /// As [`Logs::print_history`].
    pub fn print_history_under(&mut self, heading: impl Fn(&Path) -> String) -> Outcome {
        for number in 0..self.files.len() {
            print(&heading(&self.files[number].path))?;
            self.print_range(number..number + 1, true)?;
        }
        Ok(())
    }

    /// The end of a command that does not follow. All that can be read has been printed, but a search whose answer has a
    /// hole is no success.
    ///
    /// # Errors
    /// Something could not be read. It has been said already.
    pub fn end(&self) -> Outcome {
        match self.incomplete {
            true => Err(Failure::quiet(exit_code::FAILED)),
            false => Ok(()),
        }
    }

    /// Prints what comes, until standard output is closed or a signal ends the command.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn follow(&mut self) -> Outcome {
        loop {
            match self.look(unix_ns())? {
                true => {}
                false if self.reading.is_waiting() => wait_while_read(SOON)?,
                false => wait_while_read(EVERY)?,
            }
        }
    }

    /// Prints what has come since the last call; lines that may be overtaken by older ones wait for the next one.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn print_new(&mut self) -> Outcome {
        self.look(unix_ns()).map(drop)
    }

    /// Prints all that has come.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn print_all(&mut self) -> Outcome {
        while self.look(u64::MAX)? {}
        Ok(())
    }

    /// True if there is more to be had at once.
    fn look(&mut self, now: u64) -> Outcome<bool> {
        self.reading.go_on();
        let Logs { reading, renderer, out, .. } = self;
        let more = reading.look(now, |source, line| {
            renderer.line(source, line, out);
            if out.len() >= BATCH { flush(out) } else { Ok(()) }
        })?;
        flush(out)?;
        self.tell_troubles();
        Ok(more)
    }

    fn tell_troubles(&mut self) {
        let troubles = self.reading.troubles();
        self.incomplete |= !troubles.is_empty();
        troubles.into_iter().for_each(tell);
    }
}

fn flush(out: &mut Vec<u8>) -> Outcome {
    if !out.is_empty() {
        print_bytes(out)?;
        out.clear();
    }
    Ok(())
}

/// The wall clock, nanoseconds since 1970.
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How far a long search is, on stderr, if that is a terminal.
struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress { begun: Instant::now(), shown: None, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, bytes: u64) {
        let now = Instant::now();
        if self.terminal && now.duration_since(self.shown.unwrap_or(self.begun)) >= PROGRESS {
            let rate = bytes as f64 / now.duration_since(self.begun).as_secs_f64();
            let (bytes, rate) = (show_size(bytes), show_size(rate as u64));
            let _ = write!(io::stderr(), "\r\x1b[Ksearching: {bytes} so far, {rate} a second");
            self.shown = Some(now);
        }
    }

    fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// What follows stands in its place.
    fn hide(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
