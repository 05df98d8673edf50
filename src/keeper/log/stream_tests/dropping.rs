//! Lines that cannot be written, or are too many, are counted.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use super::bench::*;
use crate::model::flood::Rate;
use crate::model::spec::OnFull;
use crate::os::fifo;
use crate::wire::dropped::{Dropped, Episode};

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
