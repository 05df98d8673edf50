//! When a log goes to the archive, and when archives go.

use std::fs;
use std::time::Duration;

use super::bench::*;
use crate::keeper::log::stream::{ROTATE_AGAIN, Turn};
use crate::model::rotation::Every;

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
fn a_budget_is_kept_at_every_moment() {
    const BUDGET: u64 = 64 << 10;
    let mut bench = Bench::new(BUDGET / 4);
    bench.set_policy(|policy| policy.budget = BUDGET);
    let fd = bench.run(1);
    let line = format!("{}\n", "x".repeat(1023));
    let mut most = 0;
    for _ in 0..200 {
        write(&fd, &line);
        bench.turn();
        let texts = [bench.archives(), vec![bench.log()]].concat();
        most = most.max(texts.iter().map(|text| text.len() as u64).sum());
    }
    // The other stream's file may grow to a quarter, too.
    assert!((BUDGET / 2..=BUDGET / 4 * 3).contains(&most), "{most}");
}
