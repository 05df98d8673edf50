//! Runs that write into the same log, and take turns.

use std::fs;
use std::os::fd::AsFd;

use super::bench::*;
use crate::keeper::log::sources::WIDE;
use crate::os::fifo;

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
