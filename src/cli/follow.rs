//! The logs of several services as one stream: `name | line`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::block_on;
use super::fail::{Failure, Outcome};
use super::screen::{Colour, Screen, print, print_bytes};
use super::tail::Tail;
use crate::wire::status::ServiceStatus;

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_millis(100);

/// Which of a service's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    /// Standard output.
    pub out: bool,
    /// Standard error.
    pub err: bool,
}

/// The logs that are followed.
#[derive(Debug)]
pub struct Logs(Vec<Source>);

#[derive(Debug)]
struct Source {
    path: PathBuf,
    prefix: Vec<u8>,
    tail: Tail,
}

impl Logs {
    /// The logs of these services, from their present ends. Lines get a prefix if `named`.
    pub fn new(services: &[&ServiceStatus], which: Which, named: bool, screen: Screen) -> Logs {
        let width = services.iter().map(|service| service.name.as_str().len()).max();
        let width = width.unwrap_or(0);
        let mut files = Vec::new();
        for (number, service) in services.iter().enumerate() {
            let label = format!("{:width$} |", service.name);
            let prefix = match named {
                true => screen.paint(Colour::Tag(number), &label) + " ",
                false => String::new(),
            };
            let paths = [(which.out, &service.log_out), (which.err, &service.log_error)];
            for (_, path) in paths.into_iter().filter(|(wanted, _)| *wanted) {
                files.push((path.clone(), prefix.clone()));
            }
        }
        Logs::of_files(files)
    }

    /// These files, from their present ends, each with what stands before its lines.
    pub fn of_files(files: Vec<(PathBuf, String)>) -> Logs {
        let source = |(path, prefix): (PathBuf, String)| {
            let tail = Tail::from_end(&path);
            Source { path, prefix: prefix.into_bytes(), tail }
        };
        Logs(files.into_iter().map(source).collect())
    }

    /// Prints the last `count` lines of each file from before.
    ///
    /// # Errors
    /// A file cannot be read; nobody reads stdout.
    pub fn print_last(&self, count: usize) -> Outcome {
        self.print_last_under(count, |_| String::new())
    }

    /// The same, each file under its own heading.
    ///
    /// # Errors
    /// As [`Logs::print_last`].
    pub fn print_last_under(&self, count: usize, heading: impl Fn(&Path) -> String) -> Outcome {
        for source in &self.0 {
            print(&heading(&source.path))?;
            let lines = source.tail.before(count);
            let lines = lines.map_err(|error| Failure::failed(format!("cannot read a log file: {error}")))?;
            let mut text = Vec::with_capacity(lines.len());
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                text.extend_from_slice(&source.prefix);
                text.extend_from_slice(line);
            }
            print_bytes(&text)?;
        }
        Ok(())
    }

    /// Prints what comes, until standard output is closed or a signal ends the command.
    ///
    /// # Errors
    /// As [`Logs::print_new`].
    pub fn follow(&mut self) -> Outcome {
        block_on(async {
            loop {
                tokio::time::sleep(EVERY).await;
                self.print_new()?;
            }
        })?
    }

    /// Prints what has come since the last call.
    ///
    /// # Errors
    /// Nobody reads stdout.
    pub fn print_new(&mut self) -> Outcome {
        for source in &mut self.0 {
            let prefix = &source.prefix;
            source.tail.poll(|line| {
                let mut text = Vec::with_capacity(prefix.len() + line.len() + 1);
                text.extend_from_slice(prefix);
                text.extend_from_slice(line);
                text.push(b'\n');
                print_bytes(&text)
            })?;
        }
        Ok(())
    }
}
