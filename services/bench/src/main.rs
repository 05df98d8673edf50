//! What the services cost and how fast they answer, measured as their users meet them: the programs as shipped, over
//! their sockets. Each service runs alone on one processor, the load on the others.
//!
//! `service-bench [--bin FOLDER] [--seconds N] [webhook|api|push|repair …]`; without a name, all of them. The
//! webhook's full disk needs root, for a small tmpfs in a mount namespace of its own.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a measurement lasts a time, it waits for no condition")]

mod api;
mod data;
mod http;
mod push;
mod repair;
mod report;
mod service;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

/// What the command line says.
struct Options {
    /// The folder of the programs.
    bin: PathBuf,
    /// The length of each measurement.
    time: Duration,
    names: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { bin: "bin".into(), time: Duration::from_secs(30), names: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bin" => options.bin = words.next().expect("a folder follows --bin").into(),
                "--seconds" => {
                    let seconds = words.next().and_then(|word| word.parse().ok());
                    options.time = Duration::from_secs(seconds.expect("a number follows --seconds"));
                }
                _ => options.names.push(word),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

fn main() {
    let options = Options::read();
    service::keep_off_the_services_processor();
    if options.wants("webhook") {
        webhook::measure(&options.bin, options.time);
    }
    if options.wants("api") {
        api::measure(&options.bin, options.time.min(Duration::from_secs(5)));
    }
    if options.wants("push") {
        push::measure(&options.bin);
    }
    if options.wants("repair") {
        repair::measure(&options.bin);
    }
}
