//! On a live system the operator is told what will be done, and asked.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::Path;

use super::fault::Fault;
use super::live::Live;
use super::plan::seconds_in_all;
use crate::cli::args::Drill as Options;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::screen::tell;
use crate::exit_code;

/// Says what will be done; without `--yes` asks whether it shall be.
///
/// # Errors
/// It shall not; nobody is there to ask.
pub fn confirm(run: &Path, live: &Live, faults: &[Fault], options: &Options) -> Outcome {
    tell(announcement(run, live, faults, options));
    if options.yes {
        return Ok(());
    }
    let refused = |text: &str| Failure::new(exit_code::USAGE, text);
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(refused("nothing was done: there is no terminal to ask at")
            .hint("say it beforehand: dogwatch drill --yes; or on a copy: dogwatch drill --scratch"));
    }
    let _ = write!(stderr(), "Go on? [y/N] "); // who cannot see the question will not say yes
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(refused("nothing was done")),
    }
}

fn announcement(run: &Path, live: &Live, faults: &[Fault], options: &Options) -> String {
    let service = live.service.as_ref().map_or("no service of dogwatch's".to_owned(), ToString::to_string);
    let mut text = format!(
        "Drill on the dogwatch in {}: asks {} ({service}) {} times a second, and does, in some {} s:\n",
        run.display(),
        live.target,
        options.rate,
        seconds_in_all(faults, options.seconds)
    );
    for fault in faults {
        // A String takes whatever is written into it.
        let _ = writeln!(text, "  {:<18}{fault}", fault.name());
    }
    text + "No service of yours gets a signal. What stands still is let go, and what is started is removed, also after Ctrl-C."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use crate::cli::drill::fault::Own;
    use crate::cli::drill::target::Target;
    use clap::Parser;

    #[test]
    fn says_what_will_be_done_to_whom() {
        let Command::Drill(options) = Args::parse_from(["dogwatch", "drill", "--seconds", "3"]).command
        else {
            panic!("drill is drill")
        };
        let target = Target::parse("http://127.0.0.1:3000/health").unwrap();
        let live = Live { service: None, other: None, target };
        let text = announcement(Path::new("/run/dogwatch"), &live, &[Fault::Kill(Own::Warden)], &options);
        assert!(text.contains("http://127.0.0.1:3000/health") && text.contains("in some 6 s"), "{text}");
        assert!(text.contains("kill-warden       SIGKILL to the warden\n"), "{text}");
    }
}
