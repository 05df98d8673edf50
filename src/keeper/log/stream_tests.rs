//! A stream with real FIFOs and files, turn by turn.

use std::fs::{self, File};
use std::os::fd::OwnedFd;

use super::*;
use crate::archive;
use crate::keeper::log::dropping::Head;
use crate::keeper::log::log_file::LOOK_EVERY;
use crate::model::date_format::DateFormat;
use crate::model::dress::Dress;
use crate::model::flood::Rate;
use crate::model::rotation::Every;
use crate::model::spec::OnFull;
use crate::wire::dropped::{Dropped, Episode};
use crate::wire::log_line::StreamName;

/// The run folder of the service is the folder of the test.
fn paths(dir: &tempfile::TempDir) -> ServicePaths {
    ServicePaths { dir: dir.path().to_owned(), lock: PathBuf::new(), goal: PathBuf::new() }
}

fn new_stream(paths: &ServicePaths, policy: LogPolicy) -> io::Result<Stream> {
    let dropping = dropping::Shared::resume(paths.log_dropped(StreamName::Out.word()));
    Stream::new("web", StreamName::Out, paths, policy, dropping)
}

struct Bench {
    dir: tempfile::TempDir,
    stream: Stream,
    now: Now,
}

impl Bench {
    fn new(rotate_size: u64) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy::new(dir.path().join("logs"), rotate_size, 100, false);
        let stream = new_stream(&paths(&dir), policy).unwrap();
        let mut bench = Bench { dir, stream, now: Now { mono: Moment(1), unix_ms: 1_000_000_000_000 } };
        bench.stream.take_over(bench.now);
        bench
    }

    /// Attaches the FIFOs of a run; returns the service's end.
    fn run(&mut self, run: u64) -> OwnedFd {
        let path = |name: &str| self.dir.path().join(format!("{run}.{name}"));
        for name in ["fifo", "stage"] {
            fifo::make(&path(name), None).unwrap();
        }
        let channel = Channel {
            fifo: fifo::open_pump(&path("fifo")).unwrap(),
            stage: fifo::open_pump(&path("stage")).unwrap(),
        };
        self.stream.attach(run, channel);
        fifo::open_service(&path("fifo")).unwrap()
    }

    /// Its keeper was killed, and another one takes over the runs.
    fn kill_keeper(&mut self, runs: &[u64]) {
        let policy = self.stream.file.policy().clone();
        // The FIFOs of before have other holders, too.
        let mut stream = new_stream(&paths(&self.dir), policy).unwrap();
        for run in runs {
            let open = |name: &str| fifo::open_pump(&self.dir.path().join(format!("{run}.{name}"))).unwrap();
            stream.attach(*run, Channel { fifo: open("fifo"), stage: open("stage") });
        }
        stream.take_over(self.now);
        self.stream = stream;
    }

    /// Its keeper was killed, and another one takes over; runs are to be attached again.
    fn replace_stream(&mut self) {
        let policy = self.stream.file.policy().clone();
        self.stream = new_stream(&paths(&self.dir), policy).unwrap();
        self.stream.take_over(self.now);
    }

    fn next_due_ms(&self) -> Option<u64> {
        self.stream.next_due_ms(self.now)
    }

    fn trouble(&self) -> Option<String> {
        self.stream.state().trouble
    }

    fn turn(&mut self) -> Turn {
        self.now.mono = self.now.mono.plus(Duration::from_millis(300));
        self.now.unix_ms += 300;
        self.stream.turn(self.now)
    }

    /// As [`Bench::turn`], until there is nothing more to do at once.
    fn turns(&mut self) {
        for _ in 0..100 {
            if !self.turn().more {
                return;
            }
        }
        panic!("it never rests");
    }

    fn set_policy(&mut self, change: impl FnOnce(&mut LogPolicy)) {
        let mut policy = self.stream.file.policy().clone();
        change(&mut policy);
        self.stream.set_policy(policy);
    }

    /// Puts something in the way of the log file.
    fn block(&self) {
        fs::create_dir_all(&self.stream.file.policy().dir).unwrap();
        std::os::unix::fs::symlink("/nowhere", self.stream.path()).unwrap();
    }

    fn unblock(&self) {
        fs::remove_file(self.stream.path()).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.stream.path()).unwrap_or_default()
    }

    fn archives(&self) -> Vec<String> {
        let all = archive::list(&self.stream.file.policy().dir, "web-out");
        all.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// Whole numbered lines, from the first on, until the FIFO has at least so many bytes. Returns the next number.
fn fill(fd: &OwnedFd, first: u64, bytes: usize) -> u64 {
    let mut next = first;
    while fifo::waiting(fd.as_fd()).unwrap() < bytes {
        write(fd, &format!("line {next:06}\n"));
        next += 1;
    }
    next
}

/// The numbered lines, and what the marks among them say was dropped; no other line is there.
fn read_lines(log: &str) -> (Vec<u64>, u64, Vec<String>) {
    let (mut numbers, mut dropped, mut marks) = (Vec::new(), 0, Vec::new());
    for line in log.lines() {
        if let Some(number) = line.strip_prefix("line ").filter(|number| number.len() == 6) {
            numbers.push(number.parse().unwrap());
        } else {
            let mark = line.strip_prefix("[dogwatch: ").unwrap_or_else(|| panic!("torn: {line:?}"));
            let count = mark.strip_prefix("at least ").unwrap_or(mark).split_once(" line").unwrap().0;
            dropped += count.replace(',', "").parse::<u64>().unwrap();
            marks.push(line.to_owned());
        }
    }
    (numbers, dropped, marks)
}

fn write(fd: &OwnedFd, text: &str) {
    assert_eq!(nix::unistd::write(fd.as_fd(), text.as_bytes()).unwrap(), text.len());
}

#[test]
fn runs_follow_each_other_and_a_torn_line_is_ended() {
    let mut bench = Bench::new(1 << 20);
    let first = bench.run(1);
    let second = bench.run(2);
    write(&first, "one\nhalf");
    write(&second, "two\n");
    bench.turn();
    assert_eq!(bench.log(), "one\nhalf");
    bench.stream.finish(1);
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(bench.log(), "one\nhalf\ntwo\n");
}

#[test]
fn two_living_runs_take_turns_at_the_ends_of_lines() {
    let mut bench = Bench::new(1 << 20);
    let (old, new) = (bench.run(1), bench.run(2));
    write(&old, "old 1\nold ");
    write(&new, "new 1\n");
    bench.turn();
    assert_eq!(bench.log(), "old 1\nold ");
    assert_eq!(bench.stream.waits_for(bench.now.mono).count(), 1, "the new one would wake it for nothing");
    write(&old, "2\n");
    write(&new, "new ");
    bench.turn();
    assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew ");
    assert_eq!(bench.stream.waits_for(bench.now.mono).count(), 2);
    write(&old, "old 3\n");
    // The new one says no more for a second: then its line is ended for it.
    for _ in 0..4 {
        bench.turn();
        assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew ");
    }
    assert!(bench.stream.wakes_at(bench.now.mono).is_some());
    bench.turn();
    assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew \nold 3\n");
    assert_eq!(bench.stream.wakes_at(bench.now.mono), None);
    bench.stream.finish(1);
    write(&new, "2\n");
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew \nold 3\n2\n");
}

#[test]
fn a_flood_lets_the_other_run_have_its_turn() {
    let mut bench = Bench::new(1 << 30);
    let (flood, other) = (bench.run(1), bench.run(2));
    let lines: String = (0..1300).map(|n| format!("flood {n:042}\n")).collect();
    let mut written = 0;
    write(&other, "other\n");
    while written < 20 && !bench.log().contains("other") {
        write(&flood, &lines);
        bench.turn();
        write(&flood, "flood half"); // never idle, never at the end of a line
        bench.turn();
        write(&flood, "\n");
        written += 1;
    }
    assert!(written < 20, "it never had its turn");
    bench.turn();
    let whole = |line: &str| line == "other" || line == "flood half" || line.len() == 48;
    assert!(bench.log().lines().all(whole), "{:?}", bench.log().lines().find(|line| !whole(line)));
}

#[test]
fn a_keeper_that_dies_in_mid_line_is_followed_by_one_that_goes_on_with_that_line() {
    let mut bench = Bench::new(1 << 20);
    let (old, new) = (bench.run(1), bench.run(2));
    write(&new, "new one\n");
    bench.turn();
    write(&new, "new t");
    bench.turn();
    bench.replace_stream();
    write(&old, "old one\n");
    write(&new, "wo\n");
    drop((bench.run(1), bench.run(2)));
    bench.turn();
    assert_eq!(bench.log(), "new one\nnew two\nold one\n");
}

#[test]
fn rotates_at_the_end_of_a_line_and_loses_nothing() {
    let mut bench = Bench::new(100);
    let fd = bench.run(1);
    let mut written = String::new();
    for n in 0..200 {
        let text = format!("line {n} {}", "x".repeat(n % 37));
        write(&fd, &text);
        bench.turn();
        write(&fd, "\n");
        bench.turn();
        written += &text;
        written.push('\n');
    }
    let archives = bench.archives();
    assert!(archives.len() > 20);
    assert!(archives.iter().all(|text| text.ends_with('\n') && text.len() >= 100 && text.len() < 160));
    assert_eq!(archives.concat() + &bench.log(), written);
}

#[test]
fn a_line_that_never_ends_is_cut_at_last() {
    let mut bench = Bench::new(100);
    let fd = bench.run(1);
    for _ in 0..40 {
        write(&fd, &"x".repeat(60_000));
        bench.turn();
    }
    assert_eq!(bench.archives().len(), 2);
    assert_eq!(bench.archives().concat().len() + bench.log().len(), 40 * 60_000);
}

#[test]
fn follows_a_moved_a_truncated_and_a_replaced_file() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    let path = bench.stream.path();
    let moved = path.with_extension("moved");
    fs::rename(&path, &moved).unwrap();
    bench.now.mono = bench.now.mono.plus(LOOK_EVERY);
    write(&fd, "two\n");
    bench.turn();
    assert_eq!((fs::read_to_string(moved).unwrap().as_str(), bench.log().as_str()), ("one\n", "two\n"));
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    write(&fd, "three\n");
    bench.turn();
    assert_eq!(bench.log(), "three\n");
    bench.stream.flush(bench.now, &mut Turn::default()).unwrap();
    assert_eq!((bench.archives().concat().as_str(), bench.log().as_str()), ("three\n", ""));
    assert!(path.exists());
    write(&fd, "four\n");
    bench.turn();
    assert_eq!(bench.log(), "four\n");
}

#[test]
fn a_rotation_that_fails_does_not_stop_the_log() {
    let mut bench = Bench::new(100);
    let fd = bench.run(1);
    fs::create_dir_all(bench.stream.file.policy().dir.clone()).unwrap();
    fs::write(bench.stream.file.policy().dir.join("archive"), "in the way").unwrap();
    let mut written = String::new();
    for n in 0..20 {
        let line = format!("line {n} {}\n", "x".repeat(50));
        write(&fd, &line);
        bench.turn();
        written += &line;
    }
    assert_eq!(bench.log(), written);
    assert!(bench.trouble().unwrap().starts_with("cannot rotate "));
    assert!(bench.stream.wakes_at(bench.now.mono).is_some(), "it is tried again when nobody writes, too");
    fs::remove_file(bench.stream.file.policy().dir.join("archive")).unwrap();
    bench.now.mono = bench.now.mono.plus(ROTATE_AGAIN);
    write(&fd, "last\n");
    bench.turn();
    assert_eq!((bench.archives().concat(), bench.log()), (written, "last\n".to_owned()));
}

#[test]
fn a_symbolic_link_is_refused_in_words_and_the_bytes_wait() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    let path = bench.stream.path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let victim = bench.dir.path().join("victim");
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    write(&fd, "one\n");
    bench.turn();
    assert!(bench.trouble().unwrap().starts_with("cannot write "));
    assert!(!victim.exists());
    fs::remove_file(&path).unwrap();
    bench.turn();
    assert_eq!(bench.trouble(), None);
    assert_eq!(bench.log(), "one\n");
}

#[test]
fn what_cannot_be_written_is_dropped_and_counted_to_the_line() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.on_full = Some(OnFull::Drop));
    let fd = bench.run(1);
    write(&fd, "line 000000\nline 0000");
    bench.turn();
    fs::remove_file(bench.stream.path()).unwrap();
    write(&fd, "01\n");
    bench.stream.file.look_soon();
    bench.block();
    let mut next = 2;
    for _ in 0..20 {
        next = fill(&fd, next, 50_000);
        bench.turns();
        assert!(fifo::waiting(fd.as_fd()).unwrap() < 40_000, "the service never waits");
    }
    assert_eq!(
        bench.trouble().unwrap().split(": ").nth(1),
        Some("it is a symbolic link, and none is followed here; remove it")
    );
    assert!(bench.stream.state().dropping && bench.stream.state().dropped_lines > 10_000);
    bench.unblock();
    bench.turns();
    let log = bench.log();
    let (numbers, dropped, marks) = read_lines(log.strip_prefix("01\n").unwrap());
    assert_eq!(numbers.len() as u64 + dropped, next - 2);
    assert!(numbers.is_sorted() && marks.len() == 1, "{marks:?}");
    assert!(marks[0].contains(" dropped, log not writable, ") && !marks[0].contains("at least"));
    let state = bench.stream.state();
    assert_eq!(
        (state.trouble, state.dropping, state.dropped_lines, state.at_least),
        (None, false, dropped, false)
    );
}

#[test]
fn a_keeper_that_dies_while_it_drops_is_followed_by_one_that_says_at_least() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.on_full = Some(OnFull::Drop));
    bench.block();
    let fd = bench.run(1);
    let mut next = fill(&fd, 0, 50_000);
    bench.turns();
    next = fill(&fd, next, 50_000);
    bench.turns();
    assert!(bench.stream.state().dropping);
    let _holder = fifo::open_pump(&bench.dir.path().join("1.stage")).unwrap();
    bench.replace_stream();
    bench.unblock();
    let _ = bench.run(1);
    bench.turns();
    let (numbers, dropped, marks) = read_lines(&bench.log());
    assert_eq!(numbers.len() as u64 + dropped, next);
    assert!(marks.len() == 1 && marks[0].starts_with("[dogwatch: at least "), "{marks:?}");
    // Killed again before it could take note of the mark that it has written.
    let path = bench.dir.path().join("out.dropped");
    let mut known = Dropped::decode(&fs::read(&path).unwrap());
    assert_eq!(known.now, None);
    known.now =
        Some(Episode { lines: 1, bytes: 9, mark: Some(format!("{}\n", marks[0])), ..Episode::default() });
    fs::write(&path, known.encode()).unwrap();
    let tail = bench.log().split_once(&marks[0]).unwrap().1.len() as u64;
    let file = File::options().write(true).open(bench.stream.path()).unwrap();
    file.set_len(file.metadata().unwrap().len() - tail + 1).unwrap();
    bench.replace_stream();
    let _ = bench.run(1);
    bench.turns();
    assert_eq!(read_lines(&bench.log()).2, marks, "once");
    assert!(!bench.stream.state().dropping && bench.stream.state().at_least);
}

#[test]
fn two_living_runs_are_both_kept_from_waiting() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.on_full = Some(OnFull::Drop));
    bench.block();
    let (old, new) = (bench.run(1), bench.run(2));
    let mut counts = [0; 2];
    for _ in 0..5 {
        counts[0] = fill(&old, counts[0], 50_000);
        counts[1] = fill(&new, counts[1], 50_000);
        bench.turns();
        assert!([&old, &new].iter().all(|fd| fifo::waiting(fd.as_fd()).unwrap() < 40_000));
    }
    bench.unblock();
    bench.turns();
    let (numbers, dropped, _) = read_lines(&bench.log());
    assert_eq!(numbers.len() as u64 + dropped, counts[0] + counts[1]);
}

#[test]
fn more_than_it_may_is_dropped_and_its_last_words_are_not() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.max_rate = Some(Rate::Lines(100)));
    let fd = bench.run(1);
    let next = fill(&fd, 0, 30_000);
    bench.turn();
    assert_eq!(read_lines(&bench.log()).0, (0..100).collect::<Vec<_>>());
    assert_eq!(fifo::waiting(fd.as_fd()).unwrap(), 0, "the service does not wait");
    bench.now.mono = bench.now.mono.plus(Duration::from_secs(1));
    assert!(bench.stream.wakes_at(bench.now.mono).is_none_or(|at| at <= bench.now.mono));
    bench.turn();
    let (numbers, dropped, marks) = read_lines(&bench.log());
    assert_eq!((numbers.len(), dropped), (100, next - 100));
    assert!(marks[0].contains(" dropped, more than 100 lines/s, "), "{marks:?}");
    let end = fill(&fd, next, 12_000);
    bench.stream.finish(1);
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(read_lines(&bench.log()).0.len() as u64, 100 + end - next);
}

#[test]
fn rotates_when_the_time_comes_at_the_end_of_a_line() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.rotate_every = Some(Every::parse("1h").unwrap()));
    let fd = bench.run(1);
    assert_eq!(bench.next_due_ms(), None, "an empty log is not rotated");
    write(&fd, "one\ntw");
    bench.turn();
    let due = bench.next_due_ms().unwrap();
    assert!(due > bench.now.unix_ms && due.is_multiple_of(3_600_000), "{due}");
    bench.now.unix_ms = due;
    bench.turn();
    assert_eq!(bench.archives(), [""; 0], "in mid-line");
    assert_eq!(bench.next_due_ms(), None, "the end of the line will wake it");
    write(&fd, "o\nthree\n");
    bench.turn();
    assert_eq!((bench.archives(), bench.log().as_str()), (vec!["one\ntwo\n".to_owned()], "three\n"));
    // Nobody writes anything: the time alone is enough.
    bench.now.unix_ms = bench.next_due_ms().unwrap();
    bench.turn();
    assert_eq!(bench.archives(), ["one\ntwo\n", "three\n"]);
    assert_eq!(bench.next_due_ms(), None);
}

#[test]
fn a_clock_that_is_set_neither_hurries_nor_stops_the_rotation() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.rotate_every = Some(Every::parse("1d").unwrap()));
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    let due = bench.next_due_ms().unwrap();
    bench.now.unix_ms -= 30 * 86_400_000;
    bench.turn();
    assert_eq!(bench.next_due_ms(), Some(due - 30 * 86_400_000));
    bench.now.unix_ms += 365 * 86_400_000;
    bench.turn();
    assert_eq!(bench.archives(), ["one\n"], "once");
}

#[test]
fn archives_that_are_too_old_go_when_nothing_else_happens() {
    let mut bench = Bench::new(1 << 20);
    bench.set_policy(|policy| policy.keep_for = Some(Duration::from_secs(3600)));
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    bench.stream.flush(bench.now, &mut Turn::default()).unwrap();
    assert_eq!(bench.archives().len(), 1);
    let due = bench.next_due_ms().unwrap();
    assert_eq!(due, bench.now.unix_ms + 3_600_000);
    bench.now.unix_ms = due;
    bench.turn();
    assert_eq!((bench.archives().len(), bench.next_due_ms()), (0, None));
}

#[test]
fn who_moves_the_log_away_and_says_so_finds_it_complete() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    let moved = bench.stream.path().with_extension("1");
    fs::rename(bench.stream.path(), &moved).unwrap();
    bench.stream.reopen(bench.now).unwrap();
    assert!(bench.stream.path().exists());
    write(&fd, "two\n");
    bench.turn();
    assert_eq!((fs::read_to_string(moved).unwrap().as_str(), bench.log().as_str()), ("one\n", "two\n"));
}

#[test]
fn an_interrupted_rotation_is_finished_before_anything_is_written() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    let month = bench.stream.file.policy().dir.join("archive/2001-09");
    fs::create_dir_all(&month).unwrap();
    let index = bench.stream.path().with_extension("idx");
    fs::rename(index, month.join("web-out.20010909T014640.000Z.idx")).unwrap();
    bench.replace_stream();
    let _ = bench.run(1);
    write(&fd, "two\n");
    bench.turn();
    assert_eq!((bench.archives(), bench.log().as_str()), (vec!["one\n".to_owned()], "two\n"));
}

fn dress(bench: &mut Bench, dress: Dress) {
    bench.set_policy(|policy| policy.dress = dress);
}

fn inline() -> Dress {
    Dress::Inline(DateFormat::parse("X").unwrap())
}

/// The log, without the beginnings of its objects.
fn shapes(bench: &Bench) -> String {
    let lines = bench.log();
    let shape = |line: &str| {
        line.split_once("\"stream\":\"out\",").map_or(line.to_owned(), |(_, rest)| "#".to_owned() + rest)
    };
    lines.lines().map(|line| shape(line) + "\n").collect()
}

#[test]
fn each_line_gets_the_time_of_its_beginning() {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, inline());
    let fd = bench.run(1);
    write(&fd, "one\ntw");
    bench.turn();
    let first = bench.now.unix_ms / 1000;
    assert_eq!(bench.log(), format!("{first}: one\n{first}: tw"), "what is there is written");
    bench.now.unix_ms += 5000;
    write(&fd, "o\nthree");
    bench.turn();
    let second = bench.now.unix_ms / 1000;
    bench.stream.finish(1);
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(bench.log(), format!("{first}: one\n{first}: two\n{second}: three\n"));
}

#[test]
fn an_object_waits_for_the_end_of_its_line() {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, Dress::Json);
    let fd = bench.run(1);
    write(&fd, "one\n{\"a\":");
    bench.turn();
    assert_eq!(shapes(&bench), "#\"line\":\"one\"}\n");
    bench.turn();
    write(&fd, "1}\nlast");
    bench.turn();
    bench.stream.finish(1);
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(shapes(&bench), "#\"line\":\"one\"}\n#\"json\":{\"a\":1}}\n#\"line\":\"last\"}\n");
}

#[test]
fn a_line_whose_end_is_relieved_of_beside_the_pump_is_one_object() {
    for how in [inline(), Dress::Json] {
        let mut bench = Bench::new(1 << 20);
        dress(&mut bench, how.clone());
        let fd = bench.run(1);
        write(&fd, "one\nha");
        bench.turn();
        write(&fd, "lf\nlost\n");
        let shared = bench.stream.dropping.clone();
        let mut dropping = shared.lock();
        dropping.begin("disk hangs", bench.now.unix_ms);
        let head = Head { stage: None, ..Head::of(bench.stream.sources.current().unwrap()) };
        dropping.drop_lines(head, 0, &mut Peek::new().unwrap(), bench.now.unix_ms).unwrap();
        assert!(dropping.keeps_any_end());
        drop(dropping);
        bench.turn();
        write(&fd, "next\n");
        bench.turn();
        assert!(!shared.lock().keeps_any_end());
        let shapes = shapes(&bench);
        let lines: Vec<&str> = shapes.lines().collect();
        let whole = |text: &str| match &how {
            Dress::Json => format!("#\"line\":\"{text}\"}}"),
            _ => format!("1000000000: {text}"),
        };
        assert_eq!(lines.len(), 4, "{shapes}");
        assert_eq!([lines[0], lines[1], lines[3]], ["one", "half", "next"].map(whole), "{shapes}");
        assert!(lines[2].contains("1 line / 5 B dropped, disk hangs"), "{shapes}");
    }
}

#[test]
fn a_line_in_many_small_pieces_is_one_object() {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, Dress::Json);
    let fd = bench.run(1);
    for _ in 0..100 {
        write(&fd, ".");
        bench.turn();
    }
    write(&fd, "\n");
    bench.turn();
    assert_eq!(shapes(&bench), format!("#\"line\":\"{}\"}}\n", ".".repeat(100)));
}

#[test]
fn a_line_that_does_not_fit_comes_in_parts() {
    let mut bench = Bench::new(1 << 30);
    dress(&mut bench, Dress::Json);
    let fd = bench.run(1);
    for _ in 0..5 {
        write(&fd, &"x".repeat(60_000));
        bench.turn();
    }
    write(&fd, "y\nnext\n");
    bench.turn();
    let log = bench.log();
    let objects: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (next, parts) = objects.split_last().unwrap();
    assert!(parts.len() > 1 && next["line"] == "next");
    let texts: String = parts.iter().map(|part| part["line"].as_str().unwrap()).collect();
    assert_eq!(texts, "x".repeat(300_000) + "y");
    let marks: Vec<bool> = parts.iter().map(|part| part["partial"] == true).collect();
    assert!(marks.iter().rev().skip(1).all(|partial| *partial) && !marks[marks.len() - 1], "{marks:?}");
}

#[test]
fn two_living_runs_never_share_an_object() {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, Dress::Json);
    let (old, new) = (bench.run(1), bench.run(2));
    write(&old, "old h");
    write(&new, "new h");
    bench.turn();
    bench.turn();
    assert_eq!(bench.log(), "");
    write(&new, "alf\n");
    bench.turn();
    write(&old, "alf\n");
    bench.turn();
    bench.turn();
    assert_eq!(shapes(&bench), "#\"line\":\"new half\"}\n#\"line\":\"old half\"}\n");
}

#[test]
fn another_dress_holds_from_the_next_line() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    write(&fd, "pla");
    bench.turn();
    dress(&mut bench, inline());
    write(&fd, "in\ninl");
    bench.turn();
    dress(&mut bench, Dress::Json);
    write(&fd, "ine\njson\nwa");
    bench.turn();
    dress(&mut bench, Dress::Plain);
    write(&fd, "its\n");
    bench.turn();
    let at = 1_000_000_000;
    assert_eq!(shapes(&bench), format!("plain\n{at}: inline\n#\"line\":\"json\"}}\nwaits\n"));
}

#[test]
fn dressed_lines_rotate_between_two_of_them() {
    for how in [inline(), Dress::Json] {
        let mut bench = Bench::new(200);
        dress(&mut bench, how.clone());
        let fd = bench.run(1);
        for n in 0..200 {
            write(&fd, &format!("line {n:03} "));
            bench.turn();
            write(&fd, "end\n");
            if n % 7 == 0 {
                bench.turn();
            }
        }
        bench.turns();
        let archives = bench.archives();
        assert!(archives.len() > 10);
        let length = if how == Dress::Json { 120 } else { 30 };
        assert!(
            archives.iter().all(|text| text.ends_with('\n') && (200..200 + length).contains(&text.len()))
        );
        let all = archives.concat() + &bench.log();
        let numbers: Vec<u64> =
            all.lines().map(|line| line.split_once("line ").unwrap().1[..3].parse().unwrap()).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_dropped_is_said_in_the_same_dress() {
    for (how, begin, end) in
        [(inline(), "1000000001: [dogwatch: ", "]"), (Dress::Json, "#\"line\":\"[dogwatch: ", "]\"}")]
    {
        let mut bench = Bench::new(1 << 20);
        dress(&mut bench, how);
        bench.set_policy(|policy| policy.max_rate = Some(Rate::Lines(2)));
        let fd = bench.run(1);
        write(&fd, "one\ntwo\nthree\nfour\nhal");
        bench.turn();
        bench.now.mono = bench.now.mono.plus(Duration::from_secs(1));
        write(&fd, "f\nlast\n");
        bench.turns();
        let shapes = shapes(&bench);
        let lines: Vec<&str> = shapes.lines().collect();
        let marks: Vec<&&str> = lines.iter().filter(|line| line.contains("[dogwatch: ")).collect();
        assert!(marks.len() == 1 && marks[0].starts_with(&begin[..4]) && marks[0].ends_with(end), "{shapes}");
        assert!(
            marks[0].contains(&begin[begin.len() - 12..])
                && lines[0].contains("one")
                && lines[1].contains("two"),
            "{shapes}"
        );
    }
}

/// A keeper that is killed when this much has been done of one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    BeforeWriting,
    HalfWritten,
    Written,
    HalfTaken,
    Taken,
}

/// Lets a keeper die there, and its successor go on. Returns the log.
fn die_in_a_batch(how: &Dress, death: Death, relieved: bool, then: Dress) -> (String, Bench) {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, how.clone());
    let fd = bench.run(1);
    let _holder = fifo::open_pump(&bench.dir.path().join("1.stage")).unwrap();
    write(&fd, "before\n");
    bench.turn();
    let before = bench.log();
    write(&fd, "same\nsame\nsame\n");
    // What the turn does is undone as far as it was not done yet.
    let note = bench.stream.note.clone();
    bench.turn();
    let mut bytes = fs::read(&note).unwrap();
    bytes[12] = 1; // on its way
    let sum = crate::model::fnv::fnv1a(&bytes[..bytes.len() - 8]).to_le_bytes();
    let end = bytes.len() - 8;
    bytes[end..].copy_from_slice(&sum);
    fs::write(&note, bytes).unwrap();
    let file = File::options().write(true).open(bench.stream.path()).unwrap();
    let (from, to) = (before.len() as u64, bench.log().len() as u64);
    file.set_len(match death {
        Death::BeforeWriting => from,
        Death::HalfWritten => from.midpoint(to),
        _ => to,
    })
    .unwrap();
    let stage = fifo::open_pump(&bench.dir.path().join("1.stage")).unwrap();
    match death {
        Death::Taken => {}
        Death::HalfTaken => write(&stage, "me\n"),
        _ => write(&stage, "same\nsame\nsame\n"),
    }
    if relieved {
        write(&stage, "dogwatch: lines are missing here\n");
    }
    bench.now.unix_ms += 60_000;
    dress(&mut bench, then);
    bench.kill_keeper(&[1]);
    bench.turn();
    write(&fd, "after\n");
    bench.turn();
    (shapes(&bench), bench)
}

#[test]
fn a_keeper_that_dies_at_any_step_repeats_nothing() {
    for how in [inline(), Dress::Json] {
        for death in
            [Death::BeforeWriting, Death::HalfWritten, Death::Written, Death::HalfTaken, Death::Taken]
        {
            for relieved in [false, true] {
                if relieved && death == Death::HalfTaken {
                    continue; // a read of a few bytes is not torn
                }
                let (log, _bench) = die_in_a_batch(&how, death, relieved, how.clone());
                let count = |text: &str| log.matches(text).count();
                let whole = if how == Dress::Json { "#\"line\":\"same\"}\n" } else { ": same\n" };
                let found = (count("before"), count(whole), count("same"), count("after"), count("missing"));
                assert_eq!(found, (1, 3, 3, 1, usize::from(relieved)), "{how:?} {death:?} {relieved}: {log}");
                assert_eq!(log.lines().count(), 5 + usize::from(relieved), "{log}");
            }
        }
    }
}

#[test]
fn a_successor_that_dresses_otherwise_repeats_nothing_either() {
    for (how, then) in [(inline(), Dress::Json), (Dress::Json, Dress::Plain), (Dress::Json, inline())] {
        for death in [Death::BeforeWriting, Death::HalfWritten, Death::Written, Death::Taken] {
            let (log, _bench) = die_in_a_batch(&how, death, false, then.clone());
            assert_eq!(
                (log.matches("same").count(), log.lines().count()),
                (3, 5),
                "{how:?} {then:?} {death:?}: {log}"
            );
        }
    }
}

/// What is written again is the same, and who follows the file never sees it shrink.
#[test]
fn what_is_written_again_is_the_same() {
    let mut logs = [Death::BeforeWriting, Death::HalfWritten, Death::Written]
        .map(|death| die_in_a_batch(&inline(), death, false, inline()).0);
    let times: Vec<&str> = logs[0].lines().map(|line| &line[..10]).collect();
    assert_eq!(times[..4], ["1000000000"; 4]);
    assert_eq!(times[4], "1000000061");
    logs.sort_unstable();
    assert!(logs.windows(2).all(|pair| pair[0] == pair[1]), "{logs:?}");
}

#[test]
fn a_disk_that_is_full_tears_no_dressed_line() {
    let mut bench = Bench::new(1 << 20);
    dress(&mut bench, Dress::Json);
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    fs::rename(bench.stream.path(), bench.dir.path().join("away")).unwrap();
    bench.block();
    bench.stream.file.look_soon();
    write(&fd, "two\n");
    bench.turn();
    assert!(bench.trouble().is_some());
    bench.unblock();
    bench.kill_keeper(&[1]);
    write(&fd, "three\n");
    bench.turns();
    assert_eq!(shapes(&bench), "#\"line\":\"two\"}\n#\"line\":\"three\"}\n");
}

#[test]
fn a_trickle_is_gathered_and_nothing_else() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    let room = fifo::capacity(fd.as_fd());
    write(&fd, "little\n");
    assert!(bench.stream.is_trickle());
    write(&fd, &"x".repeat(room / 8));
    assert!(!bench.stream.is_trickle(), "it is filling");
    bench.turn();
    assert!(bench.stream.is_trickle());
    bench.stream.finish(1);
    assert!(!bench.stream.is_trickle(), "its end is waited for");
}

#[test]
fn what_is_left_when_a_run_ends_is_written_to_the_last_byte() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    let end = fill(&fd, 0, 60_000);
    bench.turn();
    let end = fill(&fd, end, 60_000);
    drop(fd); // no end of file comes of it: dogwatch has the FIFO open, too
    assert_eq!(bench.turn().finished, [0_u64; 0]);
    bench.stream.finish(1);
    assert_eq!(bench.turn().finished, [1]);
    assert_eq!(read_lines(&bench.log()).0, (0..end).collect::<Vec<_>>());
}

#[test]
fn a_flood_gets_more_room_and_what_waits_in_it_can_be_dressed() {
    let mut bench = Bench::new(1 << 30);
    let fd = bench.run(1);
    let small = fifo::capacity(fd.as_fd());
    let mut next = fill(&fd, 0, 10_000);
    bench.turns();
    assert_eq!(fifo::capacity(fd.as_fd()), small, "no flood");
    next = fill(&fd, next, 60_000);
    bench.turns();
    assert_eq!(fifo::capacity(fd.as_fd()), WIDE);
    fs::remove_file(bench.stream.path()).unwrap();
    bench.stream.file.look_soon();
    bench.block();
    let lost = next;
    for _ in 0..2 {
        next = fill(&fd, next, 240_000); // into the stage, then into the FIFO
        bench.turns();
    }
    dress(&mut bench, inline());
    bench.unblock();
    bench.turns();
    let log = bench.log();
    let numbers: Vec<u64> = log.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    assert_eq!(numbers, (lost..next).collect::<Vec<_>>());
    assert!(log.lines().all(|line| line.contains(": line ")), "{}", &log[..200]);
}
