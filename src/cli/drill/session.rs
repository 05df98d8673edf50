//! One drill from begin to end: the place, the probe, each fault in its turn, and the report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::guard::Guard;
use super::inject::{Done, Field};
use super::lines::{self, Tally};
use super::live::{self, Live};
use super::own::service_process;
use super::probe::{self, Probe};
use super::sample::{Figures, Sample};
use super::scratch::{self, Scratch};
use super::target::Target;
use super::verdict::{Course, Facts, Process, judge};
use super::watch::Watch;
use super::{Findings, confirm};
use crate::cli::args::Drill as Options;
use crate::cli::fail::{Failure, Outcome};
use crate::cli::here::Here;
use crate::cli::screen::tell;
use crate::model::name::ServiceName;
use crate::os::clock;
use crate::paths::Paths;
use crate::wire::VERSION;
use crate::wire::drill::{Lines, Report, Row, Verdict};

/// Who is hurt, and who must not notice.
#[derive(Debug)]
struct Scene {
    paths: Paths,
    service: Option<ServiceName>,
    other: Option<ServiceName>,
    target: Target,
    /// For the logs of neighbours.
    folder: Option<PathBuf>,
    scratch: Option<Scratch>,
}

/// A fault that has been done.
#[derive(Debug)]
struct Step {
    fault: Fault,
    done: Done,
    /// Since the drill began, and since 1970.
    at: Duration,
    at_unix_ms: u64,
    process: Option<(Process, Option<Process>)>,
}

/// Holds the drill.
///
/// # Errors
/// There could be none, or it was interrupted. Everything is put back in any case.
pub fn hold(here: &Here, options: &Options, faults: &[Fault]) -> Outcome<Findings> {
    let live = match options.scratch {
        true => None,
        false => {
            let live = live::find(here, options)?;
            confirm::confirm(&here.paths.run, &live, faults, options)?;
            Some(live)
        }
    };
    let mut watch = Watch::new()?;
    let mut guard = Guard::start()?;
    let findings = held(here, options, faults, live, &mut guard, &mut watch);
    watch.wipe();
    let left = guard.finish();
    left.iter().for_each(tell);
    findings
}

fn held(
    here: &Here,
    options: &Options,
    faults: &[Fault],
    live: Option<Live>,
    guard: &mut Guard,
    watch: &mut Watch,
) -> Outcome<Findings> {
    let began_unix_ms = clock::now().unix_ms;
    watch.step(0, faults.len() + 1, "making ready");
    let scene = set_up(here, faults, live, guard, watch)?;
    let epoch = Instant::now();
    let probe = Probe::begin(&scene.target, options.rate, epoch)?;
    let steps = inflict_all(options, faults, &scene, guard, watch, &probe, epoch);
    let asked_first = probe.goes_first();
    let samples = probe.finish();
    let steps = steps?;
    let counts = scene.scratch.as_ref().map(|scratch| count(scratch, &steps)).transpose()?;
    let end = epoch.elapsed();
    let rows = rows(&steps, &samples, counts.as_deref(), end);
    let kept = is_kept(&rows);
    let report = Report {
        v: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began_unix_ms,
        scratch: options.scratch,
        service: scene.service,
        url: scene.target.to_string(),
        requests_per_second: options.rate,
        timeout_ms: probe::TIMEOUT.as_millis() as u64,
        asked_first,
        kept,
        rows,
    };
    Ok((report, samples))
}

fn set_up(
    here: &Here,
    faults: &[Fault],
    live: Option<Live>,
    guard: &mut Guard,
    watch: &mut Watch,
) -> Outcome<Scene> {
    let Some(live) = live else {
        let folder = scratch::folder(guard)?;
        let scratch = Scratch::up(&folder, guard, watch)?;
        return Ok(Scene {
            paths: scratch.paths.clone(),
            service: Some(scratch.service.clone()),
            other: Some(scratch.other.clone()),
            target: scratch.target.clone(),
            folder: Some(folder),
            scratch: Some(scratch),
        });
    };
    let wants_folder = faults.iter().any(|fault| !fault.is_own());
    let folder = wants_folder.then(|| scratch::folder(guard)).transpose()?;
    let Live { service, other, target } = live;
    Ok(Scene { paths: here.paths.clone(), service, other, target, folder, scratch: None })
}

fn inflict_all(
    options: &Options,
    faults: &[Fault],
    scene: &Scene,
    guard: &mut Guard,
    watch: &mut Watch,
    probe: &Probe,
    epoch: Instant,
) -> Outcome<Vec<Step>> {
    let watched = Duration::from_secs(options.seconds.into());
    let all: Vec<Fault> = [Fault::None].into_iter().chain(faults.iter().copied()).collect();
    let process = || scene.service.as_ref().and_then(|name| service_process(&scene.paths.service(name)));
    let mut field = Field {
        paths: &scene.paths,
        service: scene.service.as_ref(),
        other: scene.other.as_ref(),
        folder: scene.folder.as_deref(),
        scratch: scene.scratch.is_some(),
        watched,
        guard,
        watch,
        probe,
    };
    let mut steps = Vec::new();
    for (number, fault) in all.iter().enumerate() {
        let what = if *fault == Fault::None { "before any fault" } else { fault.name() };
        field.watch.step(number, all.len(), what);
        let (at, at_unix_ms) = (epoch.elapsed(), clock::now().unix_ms);
        let before = process();
        let done = field.inflict(*fault)?;
        field.settle()?;
        let process = before.map(|before| (before, process()));
        steps.push(Step { fault: *fault, done, at, at_unix_ms, process });
        if *fault == Fault::None && probe.so_far().1 > 0 {
            break; // what fails without a fault proves nothing
        }
    }
    Ok(steps)
}

/// The lines of the web service, for each step.
fn count(scratch: &Scratch, steps: &[Step]) -> Outcome<Vec<Lines>> {
    let log: &Path = &scratch.log;
    // Its answer is the number of lines there must be at least.
    let written = probe::once(&scratch.target).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    scratch.stop()?;
    let mut tally = Tally::new(steps.iter().map(|step| step.at_unix_ms).collect());
    lines::of_log(&mut tally, log)
        .map_err(|error| Failure::failed(format!("cannot read the log {}: {error}", log.display())))?;
    Ok(tally.finish(written))
}

/// A row for each step; its time ends where the next one begins.
fn rows(steps: &[Step], samples: &[Sample], counts: Option<&[Lines]>, end: Duration) -> Vec<Row> {
    let ends = steps.iter().skip(1).map(|step| step.at).chain([end]);
    let numbered = steps.iter().zip(ends).enumerate();
    let row = |(number, (step, end)): (usize, (&Step, Duration))| {
        let last = number + 1 == steps.len();
        let inside = samples.iter().filter(|sample| sample.at >= step.at && (last || sample.at < end));
        let own = counts.and_then(|counts| counts.get(number)).copied();
        let lines = match (own, step.done.lines) {
            (Some(own), Some(neighbours)) => Some(own.and(neighbours)),
            (own, neighbours) => own.or(neighbours),
        };
        let facts = Facts {
            course: step.done.course.clone(),
            figures: Figures::of(inside),
            process: step.process,
            lines,
        };
        of_facts(step, &facts, end)
    };
    let mut rows: Vec<Row> = numbered.map(row).collect();
    let alone = rows.first().and_then(|row| row.p99_ms);
    for row in rows.iter_mut().skip(1) {
        row.p99_ratio = row.p99_ms.zip(alone).map(|(beside, alone)| beside / alone);
    }
    rows
}

fn of_facts(step: &Step, facts: &Facts, end: Duration) -> Row {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (verdict, mut sentences) = judge(facts);
    if step.fault == Fault::None && verdict == Verdict::Broken {
        sentences.push("so no fault was done: what fails without one proves nothing".to_owned());
    }
    let figures = &facts.figures;
    let (recovery, let_go) = match facts.course {
        Course::Replaced(after) => (Some(after), None),
        Course::LetGo(after) | Course::Stuck(after) => (None, Some(after)),
        _ => (None, None),
    };
    Row {
        fault: step.fault.name().to_owned(),
        what: step.fault.to_string(),
        at_ms: ms(step.at),
        lasted_ms: ms(end.saturating_sub(step.at)),
        requests: figures.requests,
        failed: figures.failed(),
        p50_ms: figures.p50.map(ms),
        p99_ms: figures.p99.map(ms),
        p99_ratio: None, // known when all rows are
        max_ms: figures.max.map(ms),
        lines: facts.lines,
        recovery_ms: recovery.map(ms),
        let_go_after_ms: let_go.map(ms),
        verdict,
        sentences,
    }
}

/// A promise is kept if no fault broke it, and one at least was done.
fn is_kept(rows: &[Row]) -> bool {
    let done = rows.iter().skip(1).any(|row| row.verdict == Verdict::Kept);
    done && rows.iter().all(|row| row.verdict != Verdict::Broken)
}
