//! Somebody else moves, truncates or replaces the file.

use std::fs;
use std::fs::File;

use super::bench::*;
use crate::keeper::log::log_file::LOOK_EVERY;
use crate::keeper::log::stream::Turn;
use crate::wire::log_index::{HEADER, RECORD, Record};

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

/// Deleted, or something else written over it: only the times of what was written before are lost.
#[test]
fn an_index_that_somebody_loses_is_begun_anew_at_the_next_look() {
    let mut bench = Bench::new(1 << 20);
    let fd = bench.run(1);
    write(&fd, "one\n");
    bench.turn();
    let index = bench.stream.path().with_extension("idx");
    let lose: [&dyn Fn(); 3] = [
        &|| fs::remove_file(&index).unwrap(),
        &|| fs::write(&index, "no index at all\n".repeat(99)).unwrap(),
        &|| fs::write(&index, "").unwrap(),
    ];
    for lose in lose {
        lose();
        bench.now.mono = bench.now.mono.plus(LOOK_EVERY);
        let offset = bench.log().len() as u64;
        write(&fd, "two\n");
        bench.turn();
        let bytes = fs::read(&index).unwrap();
        let (records, torn) = bytes[HEADER..].as_chunks::<RECORD>();
        let all: Vec<Record> = records.iter().map(Record::decode).collect();
        let first = Record { offset, unix_ns: bench.now.unix_ms * 1_000_000 };
        assert_eq!((all, torn.len()), (vec![first], 0));
    }
}
