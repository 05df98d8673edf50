//! What is dressed can be undressed, and it does not matter in which pieces it comes.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::wire::log_line::{self, LogLine, StreamName};

const PREFIX: &[u8] = b"14:02:11: ";
const NO_END: u64 = u64::MAX;

fn head() -> Vec<u8> {
    let mut head = Vec::new();
    log_line::write_head(&mut head, 1_795_374_300_123, "web", StreamName::Out);
    head
}

fn before(file: &[u8]) -> Before {
    match file {
        [] => Before::LineEnd,
        file if file.ends_with(PART) => Before::Part,
        file if file.ends_with(b"\n") => Before::LineEnd,
        _ => Before::MidLine,
    }
}

/// A file to which pieces are added as they come; what waits is put before the next one.
fn dressed_in_json(pieces: &[&[u8]], ending: Rest) -> Vec<u8> {
    let (mut file, mut waiting) = (Vec::new(), Vec::new());
    for (number, piece) in pieces.iter().enumerate() {
        waiting.extend_from_slice(piece);
        let ending = if number + 1 == pieces.len() { ending } else { Rest::Waits };
        loop {
            let mut out = Vec::new();
            let taken = json(&head(), &waiting, before(&file), NO_END, ending, &mut out);
            assert!(out.len() <= FULL + LONGEST_TEXT + 200, "{}", out.len());
            assert_eq!(taken == 0, out.is_empty());
            file.extend(out);
            waiting.drain(..taken);
            if taken == 0 || waiting.is_empty() {
                break;
            }
        }
    }
    file
}

fn dressed_inline(pieces: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let before =
                if file.is_empty() || file.ends_with(b"\n") { Before::LineEnd } else { Before::MidLine };
            let mut out = Vec::new();
            let taken = inline(PREFIX, rest, before, NO_END, &mut out);
            file.extend(out);
            rest = &rest[taken..];
        }
    }
    file
}

/// What the service wrote, with U+FFFD for what is no UTF-8.
fn undressed(file: &[u8]) -> String {
    let mut text = String::new();
    for line in str::from_utf8(file).unwrap().lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(log_line::is_object(line.as_bytes(), "web", StreamName::Out), "{line}");
        match object.get("json") {
            // The object as it was: what stands between the head and the end.
            Some(Value::Object(_)) => text.push_str(&line[head().len() + "\"json\":".len()..line.len() - 1]),
            _ => text.push_str(object["line"].as_str().unwrap()),
        }
        if object.get("partial").is_none() {
            text.push('\n');
        }
    }
    text
}

#[test]
fn a_time_before_each_line() {
    let mut out = Vec::new();
    assert_eq!(inline(PREFIX, b"of it\none\n\ntwo", Before::MidLine, NO_END, &mut out), 14);
    assert_eq!(out, b"of it\n14:02:11: one\n14:02:11: \n14:02:11: two");
    out.clear();
    assert_eq!(inline(PREFIX, b"one\ntwo\nthree\n", Before::LineEnd, 20, &mut out), 8, "the next file's");
    out.clear();
    assert_eq!(inline(PREFIX, b"one\ntwo\n", Before::LineEnd, 0, &mut out), 4, "one at least");
    out.clear();
    let taken = inline(PREFIX, &[b'\n'; 65_536], Before::LineEnd, NO_END, &mut out);
    assert!(taken < 65_536 && out.len() <= FULL + PREFIX.len() + 1);
}

#[test]
fn an_object_of_each_line() {
    let shape = |text: &[u8], ending| {
        let file = String::from_utf8(dressed_in_json(&[text], ending)).unwrap();
        file.replace(str::from_utf8(&head()).unwrap(), "#")
    };
    assert_eq!(shape(b"one\n\ntwo", Rest::Waits), "#\"line\":\"one\"}\n#\"line\":\"\"}\n");
    assert_eq!(shape(b"two", Rest::GoesOn), "#\"line\":\"two\",\"partial\":true}\n");
    assert_eq!(shape(b"two", Rest::Ends), "#\"line\":\"two\"}\n");
    let half = b"hal\xe2\x82";
    let mut out = Vec::new();
    assert_eq!(
        json(&head(), half, Before::LineEnd, NO_END, Rest::GoesOn, &mut out),
        3,
        "a character is not cut"
    );
    assert_eq!(
        shape(b"a\xff\x00\"b\\\x1b\n", Rest::Waits),
        "#\"line\":\"a\u{fffd}\\u0000\\\"b\\\\\\u001b\",\"lossy\":true}\n"
    );
}

#[test]
fn an_object_is_kept_byte_for_byte() {
    for text in [
        "{}",
        " {\"a\" : [1, 2.50, {\"b\":\"\\u00e9\\\"}{\"}]}\r",
        "{\"level\":30,\"msg\":\"up\",\"partial\":true}",
        &format!("{{\"a\":\"{}\"}}", "x".repeat(60_000)),
    ] {
        let file =
            String::from_utf8(dressed_in_json(&[format!("{text}\n").as_bytes()], Rest::Waits)).unwrap();
        let expected = format!("{}\"json\":{text}}}\n", str::from_utf8(&head()).unwrap());
        assert_eq!(file, expected);
        assert_eq!(before(file.as_bytes()), Before::LineEnd);
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
    for text in ["{", "{a}", "[1]", "{\"a\":1}{}", "{\"a\":\u{1}}", "null", &deep] {
        let file =
            String::from_utf8(dressed_in_json(&[format!("{text}\n").as_bytes()], Rest::Waits)).unwrap();
        assert!(file.contains("\"line\":"), "{text}");
        assert_eq!(undressed(file.as_bytes()), format!("{text}\n"));
    }
}

#[test]
fn a_line_that_is_too_long_comes_in_parts() {
    let text = [b"x".repeat(65_536), "\u{e9}".repeat(30_000).into_bytes()].concat();
    let pieces: Vec<&[u8]> = vec![&text[..65_536], &text[65_536..], b"\n{\"a\":1}\n"];
    let mut file = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let ending = if number < 2 { Rest::GoesOn } else { Rest::Waits };
        let mut out = Vec::new();
        assert_eq!(json(&head(), piece, before(&file), NO_END, ending, &mut out), piece.len());
        file.extend(out);
    }
    assert_eq!(undressed(&file).as_bytes(), [&text[..], b"\n{\"a\":1}\n"].concat());
    assert_eq!(
        file.iter().filter(|byte| **byte == b'\n').count(),
        5,
        "three parts, an empty end, and the next"
    );
    // Of what must be escaped less fits, and no part begins or ends within a character.
    let dense = ["\u{1}".repeat(40_000), "\u{20ac}".repeat(5_000)].concat() + "\n";
    let file = dressed_in_json(&[dense.as_bytes()], Rest::Waits);
    assert_eq!(undressed(&file), dense);
    assert!(file.split(|byte| *byte == b'\n').all(|line| line.len() < LONGEST_TEXT + 200));
}

#[test]
fn what_was_begun_in_another_dress_is_ended_in_it() {
    let mut out = Vec::new();
    let taken = json(&head(), b" of it\none\n", Before::MidLine, NO_END, Rest::Waits, &mut out);
    assert_eq!((taken, out.starts_with(b" of it\n{\"v\":1,")), (11, true));
    out.clear();
    assert_eq!(json(&head(), b" goes on", Before::MidLine, NO_END, Rest::Waits, &mut out), 8);
    assert_eq!(out, b" goes on");
}

/// Texts with many ends of lines, objects, and bytes that are no UTF-8.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"{\"a\":[1,\"}\"]}".to_vec()),
        1 => Just("\u{20ac}\u{1f600}".as_bytes().to_vec()),
        3 => prop::collection::vec(any::<u8>(), 0..6),
        3 => "[a-z\"\\\\]{0,8}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn split(text: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> =
        cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn what_has_a_time_before_it_loses_it_again(text in texts(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let pieces = split(&text, &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let file = dressed_inline(&pieces);
        prop_assert_eq!(&file, &dressed_inline(&[&text]), "it does not matter how it comes");
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        let undressed: Vec<u8> = lines.flat_map(|line| line.strip_prefix(PREFIX).unwrap().to_vec()).collect();
        prop_assert_eq!(undressed, text);
    }

    #[test]
    fn what_is_in_objects_comes_out_again(text in texts(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let pieces = split(&text, &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let file = dressed_in_json(&pieces, Rest::Ends);
        prop_assert_eq!(&file, &dressed_in_json(&[&text], Rest::Ends), "it does not matter how it comes");
        let mut expected = String::from_utf8_lossy(&text).into_owned();
        if !expected.is_empty() && !expected.ends_with('\n') {
            expected.push('\n');
        }
        prop_assert_eq!(undressed(&file), expected);
    }

    /// The shape is that of `logs --json`.
    #[test]
    fn a_text_is_written_as_serde_writes_it(line in prop::collection::vec(any::<u8>(), 0..60)) {
        let line: Vec<u8> = line.into_iter().filter(|byte| *byte != b'\n' && *byte != b'{').collect();
        let file = dressed_in_json(&[&[&line[..], b"\n"].concat()], Rest::Waits);
        let text = String::from_utf8_lossy(&line);
        let object = LogLine {
            v: 1,
            time: Some("2026-11-22T19:05:00.123Z".to_owned()),
            service: "web".into(),
            stream: StreamName::Out,
            lossy: matches!(text, std::borrow::Cow::Owned(_)),
            line: text,
            partial: false,
            context: false,
        };
        prop_assert_eq!(String::from_utf8(file).unwrap(), serde_json::to_string(&object).unwrap() + "\n");
    }

    /// Whatever is cut off for a rotation is written into the next file.
    #[test]
    fn rotation_cuts_between_lines(text in texts(), room in 0_u64..400) {
        for dress in [true, false] {
            let mut out = Vec::new();
            let taken = match dress {
                true => inline(PREFIX, &text, Before::LineEnd, room, &mut out),
                false => json(&head(), &text, Before::LineEnd, room, Rest::Ends, &mut out),
            };
            prop_assert!(taken == text.len() || out.ends_with(b"\n"));
            prop_assert!(taken > 0 || text.is_empty());
        }
    }
}
