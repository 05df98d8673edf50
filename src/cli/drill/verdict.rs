//! What a fault showed: pure.

use std::time::Duration;

use super::sample::Figures;
use crate::model::units::show_duration;
use crate::wire::drill::{Lines, Verdict};

/// What became of a fault, as whoever did it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Nothing was done.
    Quiet,
    /// Another process did the work after this time.
    Replaced(Duration),
    /// A dead process had no successor within this time.
    Lost(Duration),
    /// A stopped process had no successor within this time, was let go, and works again.
    LetGo(Duration),
    /// The same, but it does not work again.
    Stuck(Duration),
    /// A neighbour did its misdeed; what came of it.
    Done(String),
    /// It could not be done, or nobody could see it; why.
    NotShown(String),
}

/// The process of the service that is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Number of the run.
    pub run: u64,
}

/// All that is known of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What became of it.
    pub course: Course,
    /// The requests meanwhile.
    pub figures: Figures,
    /// The service's process before and after; none where it cannot be told.
    pub process: Option<(Process, Option<Process>)>,
    /// The numbered lines of this time.
    pub lines: Option<Lines>,
}

/// Judges. Every sentence says something that was seen.
pub fn judge(facts: &Facts) -> (Verdict, Vec<String>) {
    let mut broken = breaches(facts);
    if !broken.is_empty() {
        if let Course::NotShown(why) = &facts.course {
            broken.push(format!("and that without the fault, which was not shown: {why}"));
        }
        return (Verdict::Broken, broken);
    }
    match &facts.course {
        Course::NotShown(why) => (Verdict::NotShown, vec![format!("not shown: {why}")]),
        _ if facts.figures.requests == 0 => {
            (Verdict::NotShown, vec!["not shown: no request was made in this time".to_owned()])
        }
        Course::Done(what) => (Verdict::Kept, vec![what.clone()]),
        Course::Quiet | Course::Replaced(_) | Course::Lost(_) | Course::LetGo(_) | Course::Stuck(_) => {
            (Verdict::Kept, Vec::new())
        }
    }
}

/// In which ways the promise was broken.
fn breaches(facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    let (failed, requests) = (facts.figures.failed(), facts.figures.requests);
    if failed > 0 {
        let each: Vec<String> =
            facts.figures.misses.iter().map(|(miss, count)| format!("{count} {miss}")).collect();
        broken.push(format!("{failed} of {requests} requests failed: {}", each.join(", ")));
    }
    match facts.process {
        Some((before, None)) => broken.push(format!("the service's process {} is gone", before.pid)),
        Some((before, Some(after))) if before != after => broken.push(format!(
            "the service was started anew: it was process {} (run {}), and is {} (run {})",
            before.pid, before.run, after.pid, after.run
        )),
        _ => {}
    }
    if let Some(lines) = facts.lines.filter(|lines| !lines.is_clean()) {
        let Lines { found, lost, doubled, torn } = lines;
        broken.push(format!(
            "of its log lines {found} were found, {lost} lost, {doubled} doubled, {torn} torn"
        ));
    }
    match facts.course {
        Course::Lost(after) => {
            broken.push(format!("nobody had taken the dead one's place after {}", show_duration(after)));
        }
        Course::LetGo(after) => broken.push(format!(
            "nobody took its place within {}; it works again since it was let go",
            show_duration(after)
        )),
        Course::Stuck(after) => broken.push(format!(
            "nobody took its place within {}, and it does not work again since it was let go",
            show_duration(after)
        )),
        _ => {}
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drill::sample::Miss;

    fn facts(course: Course) -> Facts {
        let process = Process { pid: 7, run: 1 };
        let figures = Figures { requests: 50, ..Figures::default() };
        Facts { course, figures, process: Some((process, Some(process))), lines: None }
    }

    #[test]
    fn what_keeps_the_promise() {
        let short = Duration::from_millis(9);
        for course in [Course::Quiet, Course::Replaced(short), Course::Done("x".to_owned())] {
            assert_eq!(judge(&facts(course)).0, Verdict::Kept);
        }
    }

    #[test]
    fn what_breaks_it() {
        let good = facts(Course::Quiet);
        let misses = [(Miss::Refused, 2), (Miss::TimedOut, 1)].into();
        let failing = Facts { figures: Figures { misses, ..good.figures.clone() }, ..good.clone() };
        assert_eq!(
            judge(&failing),
            (Verdict::Broken, vec!["3 of 50 requests failed: 2 refused, 1 not answered in time".to_owned()])
        );
        let (verdict, sentences) = judge(&Facts { course: Course::NotShown("x".to_owned()), ..failing });
        assert_eq!((verdict, sentences.len()), (Verdict::Broken, 2), "the requests failed all the same");
        let before = Process { pid: 7, run: 1 };
        let torn = Lines { found: 9, torn: 1, ..Lines::default() };
        for broken in [
            Facts { process: Some((before, None)), ..good.clone() },
            Facts { process: Some((before, Some(Process { pid: 8, run: 2 }))), ..good.clone() },
            Facts { lines: Some(torn), ..good.clone() },
            facts(Course::Lost(Duration::from_secs(1))),
            facts(Course::LetGo(Duration::from_secs(1))),
            facts(Course::Stuck(Duration::from_secs(1))),
        ] {
            let (verdict, sentences) = judge(&broken);
            assert_eq!((verdict, sentences.len()), (Verdict::Broken, 1), "{broken:?}");
        }
    }

    #[test]
    fn what_nobody_saw_is_never_passed() {
        assert_eq!(judge(&facts(Course::NotShown("needs root".to_owned()))).0, Verdict::NotShown);
        let silent = Facts { figures: Figures::default(), ..facts(Course::Quiet) };
        assert_eq!(judge(&silent).0, Verdict::NotShown);
    }
}
