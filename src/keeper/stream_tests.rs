//! A stream with real FIFOs and files, turn by turn.

use std::fs::{self, File};
use std::os::fd::OwnedFd;

use super::*;
use crate::keeper::archive;
use crate::keeper::log_file::LOOK_EVERY;

struct Bench {
    dir: tempfile::TempDir,
    stream: Stream,
    now: Now,
}

impl Bench {
    fn new(rotate_size: u64) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let policy = LogPolicy { dir: dir.path().join("logs"), rotate_size, keep: 100, compress: false };
        let turns = dir.path().join("out.source");
        Bench { dir, stream: Stream::new("web", "out", turns, policy).unwrap(), now: Now::default() }
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

    fn turn(&mut self) -> Turn {
        self.now.mono = self.now.mono.plus(Duration::from_millis(300));
        self.now.unix_ms += 300;
        self.stream.turn(self.now)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.stream.path()).unwrap_or_default()
    }

    fn archives(&self) -> Vec<String> {
        let all = archive::list(&self.stream.file.policy().dir, "web-out");
        all.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
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
    assert!(bench.stream.wakes_at().is_some());
    bench.turn();
    assert_eq!(bench.log(), "old 1\nold 2\nnew 1\nnew \nold 3\n");
    assert_eq!(bench.stream.wakes_at(), None);
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
    let turns = bench.dir.path().join("out.source");
    bench.stream = Stream::new("web", "out", turns, bench.stream.file.policy().clone()).unwrap();
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
    bench.stream.flush(bench.now).unwrap();
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
    assert!(bench.turn().trouble.unwrap().starts_with("cannot write "));
    assert!(!victim.exists());
    fs::remove_file(&path).unwrap();
    assert_eq!(bench.turn().trouble, None);
    assert_eq!(bench.log(), "one\n");
}
