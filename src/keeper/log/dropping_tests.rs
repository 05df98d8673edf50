//! Lines are dropped from a FIFO with a stage behind it, and counted.

use std::os::fd::OwnedFd;

use super::*;
use crate::keeper::log::sources::Channel;

struct Bench {
    dir: tempfile::TempDir,
    source: Source,
    service: OwnedFd,
    dropping: Dropping,
    peek: Peek,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = dir.path().join(name);
            fifo::make(&path, None).unwrap();
            (fifo::open_pump(&path).unwrap(), fifo::open_pump(&path).unwrap())
        };
        let ((fifo, service), (stage, _)) = (open("fifo"), open("stage"));
        let dropping = Dropping::resume(dir.path().join("out.dropped"));
        let source = Source::new(7, Channel { fifo, stage });
        Bench { dir, source, service, dropping, peek: Peek::new().unwrap() }
    }

    fn begin(&mut self) {
        self.dropping.begin("disk full", 1000);
    }

    fn drop_all(&mut self) -> u64 {
        self.dropping.drop_lines(Head::of(&self.source), 0, &mut self.peek, 2000).unwrap()
    }

    /// As the main thread does, while the pump has the lock of the stage.
    fn drop_beside_the_pump(&mut self) -> u64 {
        let head = Head { stage: None, ..Head::of(&self.source) };
        self.dropping.drop_lines(head, 0, &mut self.peek, 2000).unwrap()
    }

    fn drop_rests(&mut self, is_there: bool) -> bool {
        let sources = is_there.then_some(&self.source).into_iter();
        self.dropping.drop_rests(sources, &mut self.peek, 3000).unwrap()
    }

    fn write(&self, text: &[u8]) {
        assert_eq!(nix::unistd::write(&self.service, text).unwrap(), text.len());
    }

    fn text(fd: &OwnedFd) -> String {
        let mut bytes = vec![0; fifo::waiting(fd.as_fd()).unwrap()];
        fifo::take(fd.as_fd(), &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn successor(&self) -> Dropping {
        Dropping::resume(self.dir.path().join("out.dropped"))
    }
}

#[test]
fn a_begun_line_gets_its_end_and_whole_lines_go() {
    let mut bench = Bench::new();
    bench.write(b"of it\none\ntwo\nthr");
    bench.begin();
    assert_eq!(bench.drop_all(), 8);
    bench.write(b"ee\n");
    assert_eq!(bench.drop_all(), 6);
    assert_eq!(Bench::text(&bench.source.channel.stage), "of it\n");
    let mark = bench.dropping.mark().unwrap();
    assert_eq!(mark.text, "[dogwatch: 3 lines / 14 B dropped, disk full, 00:00:01–00:00:02]\n");
    bench.dropping.is_marked(&mark);
    assert!(!bench.dropping.is_on() && bench.dropping.end_of(7).is_none());
    let known = bench.successor().state();
    assert_eq!((known.dropped_lines, known.at_least, known.dropping), (3, false, false));
}

#[test]
fn a_line_out_of_sight_goes_to_its_end() {
    let mut bench = Bench::new();
    bench.begin();
    fifo::resize(bench.source.channel.fifo.as_fd(), 1 << 20).unwrap();
    for _ in 0..3 {
        bench.write(&[b'x'; 60_000]);
        bench.drop_all();
    }
    bench.write(b"end\nnext\nhal");
    assert!(bench.drop_rests(true));
    assert_eq!(Bench::text(&bench.source.channel.fifo), "next\nhal");
    assert_eq!((bench.dropping.known.lines, bench.dropping.known.bytes), (1, 180_004));
    assert_eq!(bench.dropping.end_of(7).as_deref(), Some(&b""[..]), "what is staged may lack its end");
}

#[test]
fn a_rest_that_never_comes_is_not_waited_for() {
    for over in [false, true] {
        let mut bench = Bench::new();
        bench.begin();
        bench.drop_all(); // nothing to be seen: the line may have begun
        assert!(!bench.drop_rests(true));
        bench.source.finishing = over;
        assert!(bench.drop_rests(over), "its run is over, or not there any more");
    }
}

#[test]
fn a_stage_that_must_not_be_touched_gets_the_end_of_its_line_later() {
    let mut bench = Bench::new();
    bench.write(b"of it\none\ntwo\nthr");
    bench.begin();
    assert_eq!(bench.drop_beside_the_pump(), 8);
    assert_eq!(Bench::text(&bench.source.channel.stage), "");
    assert_eq!(bench.dropping.end_of(7).as_deref(), Some(&b"of it\n"[..]));
    // The pump goes on, and the disk refuses: nothing more passes.
    bench.write(b"ee\nfour\n");
    assert_eq!(bench.drop_all(), 11);
    let mark = bench.dropping.mark().unwrap();
    assert!(mark.text.starts_with("[dogwatch: 4 lines / 19 B dropped"), "{}", mark.text);
    bench.dropping.is_marked(&mark);
    assert!(bench.dropping.end_of(7).is_some() && bench.dropping.keeps_any_end());
    // What it was went with the keeper.
    assert_eq!(bench.successor().end_of(7).as_deref(), Some(&b""[..]));
    bench.dropping.has_its_end(7);
    assert!(bench.dropping.end_of(7).is_none() && !bench.dropping.keeps_any_end());
    assert_eq!(bench.successor().known, Dropped { v: VERSION, bytes: 19, lines: 4, ..Dropped::default() });
}

#[test]
fn what_is_dropped_while_the_mark_is_written_is_marked_too() {
    let mut bench = Bench::new();
    bench.write(b"kept\none\n");
    bench.begin();
    bench.drop_all();
    let first = bench.dropping.mark().unwrap();
    bench.write(b"two\nthree\n");
    bench.drop_beside_the_pump();
    bench.dropping.is_marked(&first);
    let second = bench.dropping.mark().unwrap();
    assert_eq!(second.text, "[dogwatch: 2 lines / 10 B dropped, disk full, 00:00:02–00:00:02]\n");
    bench.dropping.is_marked(&second);
    assert!(!bench.dropping.is_on());
}

#[test]
fn a_run_that_is_forgotten_owes_nothing() {
    let mut bench = Bench::new();
    bench.write(b"of it\none\n");
    bench.begin();
    bench.drop_beside_the_pump();
    bench.dropping.forget(7);
    assert!(bench.dropping.end_of(7).is_none() && bench.dropping.is_on());
}

#[test]
fn a_successor_goes_on_and_says_at_least() {
    let mut bench = Bench::new();
    bench.write(b"kept\none\ntwo\n");
    bench.begin();
    bench.drop_all();
    bench.dropping = bench.successor();
    bench.write(b"three\n");
    bench.drop_all();
    let mark = bench.dropping.mark().unwrap();
    assert!(mark.text.starts_with("[dogwatch: at least 3 lines / 14 B dropped"), "{}", mark.text);
    assert!(!mark.may_be_there);
    // This one dies with the mark on its way: nothing was dropped that is not in it.
    let mut third = bench.successor();
    let again = third.mark().unwrap();
    assert!(again.may_be_there);
    assert_eq!(again.text, mark.text);
    third.is_marked(&again);
    assert!(!bench.successor().is_on() && bench.successor().state().at_least);
}

#[test]
fn a_full_stage_grows_for_the_end_of_a_line() {
    let mut bench = Bench::new();
    while nix::unistd::write(&bench.source.channel.stage, &[b'x'; 4096]).is_ok() {}
    bench.write(b"the end\nmore\n");
    bench.begin();
    bench.drop_all();
    assert!(Bench::text(&bench.source.channel.stage).ends_with("xxxthe end\n"));
    assert_eq!(bench.dropping.known.lines, 1);
}
