//! A keeper that is killed while it writes dressed lines loses none and repeats none.

use std::fs;
use std::fs::File;

use super::bench::*;
use crate::model::dress::Dress;
use crate::os::fifo;

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
