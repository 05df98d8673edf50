//! `dogwatch show NAME`: every fact about one service. Of its environment only the names: values are secrets.

use std::path::Path;
use std::time::Duration;

use super::args::Show;
use super::ask;
use super::fail::Outcome;
use super::here::Here;
use super::screen::{Colour, Screen, print, print_json};
use crate::model::calendar::utc_stamps;
use crate::model::phase::State;
use crate::model::spec::{Ready, RestartWhen, ServiceSpec};
use crate::model::units::{group_digits, show_duration, show_size};
use crate::wire::incidents::Incidents;
use crate::wire::log_line::StreamName;
use crate::wire::log_state::LogState;
use crate::wire::sinks::{SinkStatus, Waiting};
use crate::wire::spec::SpecFile;
use crate::wire::status::{Role, ServiceStatus};

/// Shows one service.
///
/// # Errors
/// Nothing runs here; there is no such service.
pub fn run(here: &Here, options: &Show) -> Outcome {
    let services = ask::services_now(here)?;
    let chosen = ask::select(&services.services, std::slice::from_ref(&options.name))?;
    for service in chosen {
        if options.json {
            print_json(service)?;
            continue;
        }
        let path = here.paths.service(&service.name).spec();
        let spec = std::fs::read(path).ok().and_then(|bytes| SpecFile::decode(&bytes).ok());
        print(&text(service, spec.map(|file| file.spec).as_ref(), Screen::of_stdout()))?;
    }
    Ok(())
}

/// One fact per line.
fn text(service: &ServiceStatus, spec: Option<&ServiceSpec>, screen: Screen) -> String {
    let mut facts = state(service, screen);
    facts.extend(resources(service));
    facts.extend(entry(service, spec));
    facts.extend(service.logs().map(|(stream, path)| match stream {
        StreamName::Out => ("out log", log(path)),
        StreamName::Error => ("error log", log(path)),
        StreamName::Merged => ("log", log(path)),
    }));
    facts.push(("keeper", keeper(service)));
    facts.extend(log_state(&service.log));
    facts.extend(service.sinks.iter().map(sink));
    facts.extend(service.incidents.as_ref().map(befallen).unwrap_or_default());
    facts.extend([("fingerprint", format!("{:016x}", service.fingerprint))]);
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): (&str, String)| {
        let name = screen.paint(Colour::Grey, &format!("{name:width$}"));
        format!("{name}  {value}\n")
    };
    facts.into_iter().map(line).collect()
}

type Fact = (&'static str, String);

fn state(service: &ServiceStatus, screen: Screen) -> Vec<Fact> {
    let goal = match service.goal {
        crate::model::phase::Goal::Up => "up",
        crate::model::phase::Goal::Down => "down",
    };
    let colour = match service.state {
        State::Online => Colour::Green,
        State::Starting | State::Stopping | State::BackingOff => Colour::Yellow,
        State::CrashLoop | State::Failed => Colour::Red,
        State::Stopped => Colour::Grey,
    };
    let critical = if service.critical { ", critical" } else { "" };
    let mut facts = vec![
        ("name", service.name.to_string()),
        ("compartment", format!("{}{critical}", service.compartment)),
        ("state", screen.paint(colour, service.state.word())),
        ("goal", goal.to_owned()),
        ("pid", service.pid.map_or("-".to_owned(), |pid| pid.to_string())),
        ("uptime", service.uptime_ms.map_or("-".to_owned(), duration)),
        ("run", service.run.to_string()),
        ("restarts", service.restarts.to_string()),
    ];
    if let Some(other) = &service.beside {
        let role = match other.role {
            Role::Starting => "starting, takes over when it is ready",
            Role::Failing => "does not take over, is being killed",
            Role::Draining => "was replaced, finishes what it has begun",
        };
        facts.push(("beside it", format!("run {} (pid {}): {role}", other.run, other.pid)));
    }
    if let Some(why) = &service.reload_failure {
        facts.push(("last reload", format!("failed: {why}; the old run goes on")));
    }
    if service.unstable > 0 {
        facts.push(("unstable starts", format!("{} in a row", service.unstable)));
    }
    if let Some(ms) = service.next_start_ms {
        facts.push(("next start", format!("in {}", duration(ms))));
    }
    if let Some(reason) = &service.reason {
        facts.push(("last end", reason.clone()));
    }
    if let Some(end) = &service.last_end {
        facts.push((
            "ended",
            format!("run {}, after {}, {} UTC", end.run, duration(end.lived_ms), utc(end.at_unix_ms)),
        ));
    }
    if let Some(hint) = &service.hint {
        facts.push(("what to do", hint.clone()));
    }
    if service.changed {
        let advice = format!("its entry has changed; take it over: dogwatch restart {}", service.name);
        facts.push(("ecosystem.toml", advice));
    }
    facts
}

/// What is wrong with its log, and what that has cost.
fn log_state(log: &LogState) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(why) = &log.trouble {
        let since = log.since_unix_ms.map(|ms| format!(", since {} UTC", utc(ms))).unwrap_or_default();
        facts.push(("log trouble", format!("{why}{since}")));
    }
    if log.dropped_bytes > 0 || log.dropping {
        let at_least = if log.at_least { "at least " } else { "" };
        let (lines, size) = (group_digits(log.dropped_lines), show_size(log.dropped_bytes));
        let now = if log.dropping { ", and more are being dropped now" } else { "" };
        facts.push(("log dropped", format!("{at_least}{lines} lines, {size}{now}")));
    }
    facts
}

/// `far (syslog): ok, 12,345 lines, 0 B behind`.
fn sink(sink: &SinkStatus) -> Fact {
    let state = match &sink.waiting {
        None => "ok".to_owned(),
        Some(Waiting { why, since_unix_ms: 0 }) => format!("waits: {why}"),
        Some(Waiting { why, since_unix_ms }) => format!("waits: {why}, since {} UTC", utc(*since_unix_ms)),
    };
    let counts = &sink.counts;
    let (lines, behind) = (group_digits(counts.forwarded_lines), show_size(sink.behind_bytes));
    let mut text =
        format!("{} ({}): {state}; {lines} lines forwarded, {behind} behind", sink.name, sink.kind);
    if counts.has_lost() {
        let at_least = if counts.lost_at_least { "at least " } else { "" };
        let (lines, size) = (group_digits(counts.lost_lines), show_size(counts.lost_bytes));
        text += &format!(", {at_least}{lines} lines ({size}) lost: deleted before");
    }
    if counts.cut_lines > 0 {
        text += &format!(", {} cut: too long", group_digits(counts.cut_lines));
    }
    ("sink", text)
}

fn resources(service: &ServiceStatus) -> Vec<Fact> {
    let limit = service.memory_limit_bytes.map_or("none".to_owned(), show_size);
    let overridden = match service.limit_overridden {
        true => " (set on the command line, until the next restart)",
        false => "",
    };
    vec![
        ("memory", service.memory_bytes.map_or("-".to_owned(), show_size) + &forecast(service)),
        ("memory limit", format!("{limit}{overridden}")),
        ("cpu", service.cpu_percent.map_or("-".to_owned(), |cpu| format!("{cpu:.1}%"))),
        ("processes", service.processes.map_or("-".to_owned(), |count| count.to_string())),
    ]
}

/// `, rising 1.2 MiB/min, limit in about 3h 20m`; nothing if it does not rise.
fn forecast(service: &ServiceStatus) -> String {
    let Some(rise) = service.memory_bytes_per_minute else { return String::new() };
    let limit = service.memory_limit_in_ms.map(|ms| format!(", limit in about {}", about(ms)));
    format!(", rising {}/min{}", show_size(rise), limit.unwrap_or_default())
}

/// A duration as exact as a forecast can be: no seconds beside minutes.
fn about(ms: u64) -> String {
    let seconds = ms / 1000;
    let step = if seconds < 60 { 1 } else { 60 };
    show_duration(Duration::from_secs(seconds / step * step))
}

fn entry(service: &ServiceStatus, spec: Option<&ServiceSpec>) -> Vec<Fact> {
    let listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        ("command", quoted(&service.command)),
        ("cwd", service.cwd.display().to_string()),
        ("user", service.user.clone().unwrap_or_else(|| "as dogwatch".to_owned())),
        ("listen", if listen.is_empty() { "-".to_owned() } else { listen.join(" ") }),
    ];
    let Some(spec) = spec else { return facts };
    let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
    facts.push(("environment", names.join(" ")));
    let attributes = spec.attributes.in_words();
    if !attributes.is_empty() {
        facts.push(("process", attributes));
    }
    if !spec.after.is_empty() {
        let after: Vec<&str> = spec.after.iter().map(|name| name.as_str()).collect();
        facts.push(("after", after.join(" ")));
    }
    facts.push((
        "ready",
        match spec.ready {
            Ready::Alive { after } => format!("after {}", show_duration(after)),
            Ready::Notify { timeout } => format!("when it says so, within {}", show_duration(timeout)),
        },
    ));
    let when = match spec.restart.policy {
        RestartWhen::Always => "always",
        RestartWhen::OnFailure => "on failure",
        RestartWhen::Never => "never",
    };
    let (delay, most) = (show_duration(spec.restart.delay), show_duration(spec.restart.max_delay));
    facts.push(("restart", format!("{when}, {delay} up to {most}")));
    facts.push(("stop", format!("{}, SIGKILL after {}", spec.stop.signal, show_duration(spec.stop.timeout))));
    facts
}

/// What has befallen its keeper.
fn befallen(incidents: &Incidents) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(last) = &incidents.last {
        let after = duration(last.after_ms);
        let times = if incidents.replaced > 1 {
            format!(", the last of {} times", incidents.replaced)
        } else {
            String::new()
        };
        facts.push((
            "keeper stalled",
            format!("{}; replaced after {after}, {} UTC{times}", last.why, utc(last.at_unix_ms)),
        ));
    }
    if incidents.dropped_bytes > 0 {
        let (size, lines) = (show_size(incidents.dropped_bytes), incidents.dropped_lines);
        facts.push(("output dropped", format!("{size}, {lines} lines, so that the service did not wait")));
    }
    facts
}

fn duration(ms: u64) -> String {
    show_duration(Duration::from_millis(ms))
}

/// `2026-11-22 18:53:11`, from the stamp `20261122T185311.000Z`.
fn utc(unix_ms: u64) -> String {
    let (_, stamp) = utc_stamps(unix_ms);
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    format!("{year}-{month}-{day} {}:{}:{}", part(9, 11), part(11, 13), part(13, 15))
}

fn keeper(service: &ServiceStatus) -> String {
    let pid = match service.keeper_pid {
        0 => return "-".to_owned(),
        pid => pid,
    };
    let version = service.keeper_version.as_ref().map(|version| format!(", dogwatch {version}"));
    let differs = match service.keeper_differs {
        true => ", another build than the control plane: dogwatch upgrade",
        false => "",
    };
    format!("pid {pid}{}{differs}", version.unwrap_or_default())
}

fn log(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(about) => format!("{} ({})", path.display(), show_size(about.len())),
        Err(_) => format!("{} (not there yet)", path.display()),
    }
}

/// As one would type it in a shell.
fn quoted(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c))
    };
    let quote = |word: &String| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_can_be_read() {
        assert_eq!(utc(1_795_373_591_999), "2026-11-22 18:53:11");
    }

    #[test]
    fn a_leak_is_forecast() {
        let mut service = crate::wire::status::tests::status(State::Online, 1, None);
        assert_eq!(forecast(&service), "");
        service.memory_bytes_per_minute = Some(1_258_291);
        assert_eq!(forecast(&service), ", rising 1.2 MiB/min");
        service.memory_limit_in_ms = Some(12_059_000);
        assert_eq!(forecast(&service), ", rising 1.2 MiB/min, limit in about 3h 20m");
        assert_eq!((about(42_700), about(61_000), about(0)), ("42 s".into(), "1m".into(), "0 ms".into()));
    }

    #[test]
    fn commands_can_be_pasted() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(quoted(&words(&["bin/web", "--port=3000"])), "bin/web --port=3000");
        assert_eq!(quoted(&words(&["sh", "-c", "echo it's"])), r"sh -c 'echo it'\''s'");
        assert_eq!(quoted(&words(&["a", ""])), "a ''");
    }
}
