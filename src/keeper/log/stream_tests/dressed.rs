//! Lines with times, and lines in objects.

use std::fs;
use std::time::Duration;

use super::bench::*;
use crate::keeper::log::dropping::Head;
use crate::model::dress::Dress;
use crate::model::flood::Rate;
use crate::os::peek::Peek;

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
