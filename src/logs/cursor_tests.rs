//! The cursor, over a log that is written, rotated, compressed, emptied and moved meanwhile.

use super::*;
use crate::logs::writer::Writer;
use proptest::prelude::*;

/// All there is to be had now, line feeds included.
fn read(cursor: &mut Cursor) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let more = cursor.read().unwrap();
        while let Some((piece, _)) = cursor.piece() {
            out.extend_from_slice(piece.bytes);
            out.extend(piece.ends.then_some(b'\n'));
        }
        if more == Read::Dry {
            return out;
        }
    }
}

fn text(cursor: &mut Cursor) -> String {
    String::from_utf8(read(cursor)).unwrap()
}

#[test]
fn follows_a_moved_a_replaced_and_an_emptied_file() {
    let mut writer = Writer::new();
    let mut cursor = Cursor::at_end(writer.stream());
    assert_eq!(text(&mut cursor), "");
    writer.write(b"one\ntw");
    assert_eq!(text(&mut cursor), "one\n");
    writer.write(b"o\nthree\n");
    writer.rotate(false);
    writer.write(b"four\n");
    assert_eq!(text(&mut cursor), "two\nthree\nfour\n");
    writer.empty();
    assert_eq!(text(&mut cursor), "");
    writer.write(b"five\n");
    assert_eq!(text(&mut cursor), "five\n");
    writer.write(b"six\n");
    writer.move_away("web-out.log.1");
    assert_eq!(text(&mut cursor), "six\n");
    std::fs::write(writer.path(), "").unwrap(); // logrotate's `create`: the keeper still writes into the old one
    let mut old =
        std::fs::File::options().append(true).open(writer.dir.path().join("web-out.log.1")).unwrap();
    std::io::Write::write_all(&mut old, b"seven\n").unwrap();
    assert_eq!(text(&mut cursor), "seven\n");
    writer.write(b"eight\n");
    writer.rotate(true);
    assert_eq!(text(&mut cursor), "eight\n", "an archive that is not the file that was followed");
}

#[test]
fn whoever_has_taken_the_name_the_old_file_is_read_as_long_as_a_keeper_may_write_into_it() {
    for taken_by in ["a file", "a link", "a folder"] {
        let mut writer = Writer::new();
        writer.write(b"one\n");
        let mut cursor = Cursor::after(writer.stream(), 0);
        assert_eq!(text(&mut cursor), "one\n");
        writer.move_away("side");
        match taken_by {
            "a file" => std::fs::write(writer.path(), "stranger\n").unwrap(),
            "a link" => std::os::unix::fs::symlink("side", writer.path()).unwrap(),
            _ => std::fs::create_dir(writer.path()).unwrap(),
        }
        assert_eq!(text(&mut cursor), "");
        let mut old = std::fs::File::options().append(true).open(writer.dir.path().join("side")).unwrap();
        for line in ["two\n", "three\n"] {
            std::io::Write::write_all(&mut old, line.as_bytes()).unwrap();
            assert_eq!((text(&mut cursor).as_str(), cursor.is_displaced()), (line, true), "{taken_by}");
        }
        cursor.open.as_mut().unwrap().displaced = Instant::now().checked_sub(PATIENCE);
        match taken_by {
            "a file" => assert_eq!(text(&mut cursor), "stranger\n"),
            _ => {
                let end =
                    std::iter::repeat_with(|| cursor.read()).find(|read| !matches!(read, Ok(Read::Some)));
                assert!(end.unwrap().is_err(), "{taken_by} is no log");
            }
        }
    }
}

#[test]
fn a_line_that_a_rotation_has_cut_is_one_line() {
    let mut writer = Writer::new();
    writer.write(b"begin ");
    writer.rotate(true);
    writer.write(b"middle ");
    writer.rotate(false);
    writer.write(b"end\nnext\n");
    let mut cursor = Cursor::after(writer.stream(), 0);
    let mut pieces = Vec::new();
    while cursor.read().unwrap() == Read::Some {
        while let Some((piece, _)) = cursor.piece() {
            pieces.push((String::from_utf8(piece.bytes.to_vec()).unwrap(), piece.begins, piece.ends));
        }
    }
    let piece = |text: &str, begins, ends| (text.to_owned(), begins, ends);
    assert_eq!(
        pieces,
        [
            piece("begin ", true, false),
            piece("middle ", false, false),
            piece("end", false, true),
            piece("next", true, true)
        ]
    );
}

#[test]
fn what_is_written_later_is_not_part_of_what_was() {
    let mut writer = Writer::new();
    writer.write(b"one\n");
    for compress in [false, true] {
        let mut cursor = Cursor::after(writer.stream(), 0);
        cursor.stop_here();
        let before = writer.written.clone();
        writer.write(b"two\n");
        assert_eq!(read(&mut cursor), before);
        writer.rotate(compress);
        writer.write(b"three\n");
        assert_eq!(text(&mut cursor), "");
        cursor.go_on();
        assert_eq!(text(&mut cursor), "two\nthree\n");
    }
    let empty = Writer::new();
    let mut cursor = Cursor::after(empty.stream(), 0);
    cursor.stop_here();
    let mut writer = empty;
    writer.write(b"new\n");
    assert_eq!(text(&mut cursor), "");
    writer.rotate(false);
    assert_eq!(text(&mut cursor), "");
    cursor.go_on();
    assert_eq!(text(&mut cursor), "new\n");
}

#[test]
fn who_comes_back_is_told_whether_its_file_is_there() {
    let mut writer = Writer::new();
    writer.write(b"one\ntwo\n");
    let mut cursor = Cursor::after(writer.stream(), 0);
    assert_eq!(cursor.read().unwrap(), Read::Some);
    assert_eq!(cursor.piece().unwrap().0.bytes, b"one");
    let place = cursor.place();
    for compress in [false, true] {
        let mut back = Cursor::at(writer.stream(), place).unwrap();
        assert!(back.has_resumed());
        assert!(text(&mut back).starts_with("two\n"));
        writer.rotate(compress);
        writer.write(b"three\n");
    }
    let mut back = Cursor::at(writer.stream(), place).unwrap();
    assert!(back.has_resumed());
    back.keep_openings();
    assert_eq!(text(&mut back), "two\nthree\nthree\n");
    let archives = writer.stream().archives_after(0);
    let opening = |from: u64, archive| Opening { from, after: from, archive };
    let [first, second] = [archives[0].at_ms, archives[1].at_ms];
    assert_eq!(back.openings().make_contiguous(), [opening(first, Some(second)), opening(second, None)]);
    std::fs::remove_file(&archives[0].path).unwrap();
    let mut back = Cursor::at(writer.stream(), place).unwrap();
    assert!(!back.has_resumed());
    assert_eq!(text(&mut back), "three\nthree\n", "nothing of another file is left out");
    assert_eq!((archives[1].length(), back.left()), (6, 0));
}

#[test]
fn old_files_are_not_opened_and_times_are_told() {
    let mut writer = Writer::new();
    for n in 0..10 {
        writer.write(format!("line {n}\n").as_bytes());
        writer.write(format!("line {n}b\n").as_bytes());
        if n == 6 {
            let since = writer.now_ms;
            writer.write(b"since\n");
            let mut cursor = Cursor::since(writer.stream(), since * 1_000_000).unwrap();
            assert_eq!(text(&mut cursor), "since\n", "the index says where");
        }
        writer.rotate(n % 2 == 0);
    }
    let archives = writer.stream().archives_after(0);
    for archive in &archives[..8] {
        std::fs::write(&archive.path, "not a log at all").unwrap();
    }
    let since = archives[7].at_ms * 1_000_000 + 1;
    let mut cursor = Cursor::since(writer.stream(), since).unwrap();
    let mut times = Vec::new();
    while cursor.read().unwrap() == Read::Some {
        while let Some((_, when)) = cursor.piece() {
            times.push(when.known.unwrap());
        }
    }
    assert_eq!(times.len(), 4);
    assert!(times.iter().all(|time| *time >= since) && times.is_sorted());
    let mut cursor = Cursor::after(writer.stream(), 0);
    assert_eq!(text(&mut cursor).matches("line").count(), 4, "damaged ones are left out");
    let troubles = cursor.troubles();
    assert_eq!(troubles.len(), 4, "half of them say that they are compressed: {troubles:?}");
}

#[test]
fn places_as_text() {
    let place = Place { after: 1, inode: 2, offset: 3 };
    assert_eq!(place.to_string().parse(), Ok(place));
    for wrong in ["", "1.2", "1.2.3.4", "1.2.x", "1..3", "-1.2.3"] {
        assert_eq!(wrong.parse::<Place>(), Err(()), "{wrong}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Write(Vec<u8>),
    Rotate(bool),
    Look,
    /// Another reader goes on at the same place.
    Resume,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => "[a\n]{1,12}".prop_map(|text| Act::Write(text.into_bytes())),
        3 => any::<bool>().prop_map(Act::Rotate),
        2 => Just(Act::Look),
        1 => Just(Act::Resume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever happens between two looks: no gap, and no repeat.
    #[test]
    fn what_is_written_is_read_once(acts in prop::collection::vec(act(), 0..40), indexed: bool) {
        let mut writer = Writer::new();
        writer.indexed = indexed;
        let mut cursor = Cursor::at_end(writer.stream());
        let mut seen = Vec::new();
        for act in acts {
            match act {
                Act::Write(bytes) => writer.write(&bytes),
                Act::Rotate(compress) => writer.rotate(compress),
                Act::Look => seen.extend(read(&mut cursor)),
                Act::Resume => {
                    seen.extend(read(&mut cursor));
                    let place = cursor.place();
                    cursor = Cursor::at(writer.stream(), place).unwrap();
                }
            }
        }
        seen.extend(read(&mut cursor));
        seen.extend(cursor.rest().map(|(piece, _)| piece.bytes.to_vec()).unwrap_or_default());
        prop_assert_eq!(String::from_utf8(seen), String::from_utf8(writer.written));
    }

    /// The last lines, wherever files begin and end.
    #[test]
    fn the_last_lines(acts in prop::collection::vec(act(), 0..20), count in 0_u64..8) {
        let mut writer = Writer::new();
        for act in acts {
            match act {
                Act::Write(mut bytes) => {
                    bytes.push(b'\n');
                    writer.write(&bytes);
                }
                Act::Rotate(compress) => writer.rotate(compress),
                Act::Look | Act::Resume => {}
            }
        }
        let lines: Vec<&[u8]> = writer.written.split_inclusive(|byte| *byte == b'\n').collect();
        let expected = lines[lines.len().saturating_sub(count as usize)..].concat();
        let mut cursor = crate::logs::last::lines(writer.stream(), count).unwrap();
        prop_assert_eq!(read(&mut cursor), expected);
    }
}
