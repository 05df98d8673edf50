//! Lines of a service into what a dressed log holds: with a time before each, or each in an object. Nothing here reads or
//! writes anything, and nothing is remembered: what the file ends with says how it goes on.

use memchr::{memchr, memchr2_iter};
use serde::de::IgnoredAny;

/// No more lines are added to a batch that has this many bytes.
pub const FULL: usize = 64 << 10;
/// Longest text of one object, bytes as they are escaped: a line that is longer comes in parts.
const LONGEST_TEXT: usize = 128 << 10;
/// A byte is escaped by so many at most, and what is no UTF-8 takes fewer.
const LONGEST_ESCAPE: usize = 6;
/// An object that is nested deeper is kept as text: many a program could not read it.
const DEEPEST: usize = 64;
/// How an object ends whose line goes on in the next one.
pub const PART: &[u8] = b",\"partial\":true}\n";

/// What the file ends with, where a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The end of a line, or nothing.
    LineEnd,
    /// A line without its end.
    MidLine,
    /// An object with a part of a line.
    Part,
}

/// What becomes of the beginning of a line whose end is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It waits for the end.
    Waits,
    /// It is written as a part.
    GoesOn,
    /// It is written as if it had ended.
    Ends,
}

/// Adds lines to `out`, each with `prefix` before it, until there is an end of a line at or behind `room` bytes. Returns
/// how many bytes of `bytes` they are. A line that has not ended is no reason to wait.
pub fn inline(prefix: &[u8], bytes: &[u8], before: Before, room: u64, out: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    let mut begins = before != Before::MidLine;
    while taken < bytes.len() && !is_enough(out, room, taken) {
        let rest = &bytes[taken..];
        let end = memchr(b'\n', rest).map_or(rest.len(), |feed| feed + 1);
        if begins {
            out.extend_from_slice(prefix);
        }
        out.extend_from_slice(&rest[..end]);
        (taken, begins) = (taken + end, true);
    }
    taken
}

/// Adds lines to `out`, each as an object that begins with `head`, as [`inline`] does. What is no object's beginning, as
/// the log looked different before, is ended first as it was begun.
pub fn json(head: &[u8], bytes: &[u8], before: Before, room: u64, ending: Rest, out: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    let mut begins = before == Before::LineEnd;
    if before == Before::MidLine {
        taken = memchr(b'\n', bytes).map_or(bytes.len(), |feed| feed + 1);
        out.extend_from_slice(&bytes[..taken]);
        begins = true;
    }
    while taken < bytes.len() && !is_enough(out, room, taken) {
        let rest = &bytes[taken..];
        let feed = memchr(b'\n', rest);
        let line = match (feed, ending) {
            (Some(feed), _) => &rest[..feed],
            (None, Rest::Waits) => break,
            (None, Rest::GoesOn) => &rest[..whole_characters(rest)],
            (None, Rest::Ends) => rest,
        };
        let ends = feed.is_some() || ending == Rest::Ends;
        let whole = begins && ends && is_object(line);
        let length = if whole { line.len() } else { fitting(line) };
        let ends = ends && length == line.len();
        out.extend_from_slice(head);
        if whole {
            out.extend_from_slice(b"\"json\":");
            out.extend_from_slice(line);
        } else {
            text(&line[..length], out);
        }
        out.extend_from_slice(if ends { b"}\n" } else { PART });
        taken += length + usize::from(ends && feed.is_some());
        begins = ends;
        if feed.is_none() && length == line.len() {
            break; // but the beginning of a character may be left
        }
    }
    taken
}

fn is_enough(out: &[u8], room: u64, taken: usize) -> bool {
    taken > 0 && (out.len() as u64 >= room || out.len() >= FULL) && out.last() == Some(&b'\n')
}

/// Whether a line is an object that can be part of another one as it stands.
fn is_object(line: &[u8]) -> bool {
    let (Some(b'{'), Some(b'}')) = (line.trim_ascii_start().first(), line.trim_ascii_end().last()) else {
        return false;
    };
    let valid = str::from_utf8(line).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    valid && depth(line) <= DEEPEST
}

/// How deep a valid object is nested, or more.
fn depth(object: &[u8]) -> usize {
    let begun = memchr2_iter(b'{', b'[', object).count();
    if begun <= DEEPEST {
        return begun;
    }
    let (mut now, mut deepest) = (0_usize, 0);
    let mut bytes = object.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| **byte != b'"') {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// How many bytes of a line fit into one object.
fn fitting(line: &[u8]) -> usize {
    let certain = LONGEST_TEXT / LONGEST_ESCAPE;
    let escaped = || line.iter().map(|byte| usize::from(ESCAPED[usize::from(*byte)])).sum::<usize>();
    match line.len() <= certain || escaped() <= LONGEST_TEXT {
        true => line.len(),
        false => whole_characters(&line[..certain]),
    }
}

/// How many of these bytes are left when a character that is not there as a whole is left out.
fn whole_characters(bytes: &[u8]) -> usize {
    let begun = (1..=bytes.len().min(3)).find(|back| bytes[bytes.len() - back] & 0xc0 != 0x80);
    let cut = begun.is_some_and(|back| {
        let length = match bytes[bytes.len() - back] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        length > back
    });
    match begun {
        Some(back) if cut && back < bytes.len() => bytes.len() - back,
        _ => bytes.len(),
    }
}

/// `"line":"…"`, and whether something in it was no UTF-8.
fn text(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"line\":\"");
    if str::from_utf8(line).is_ok() {
        escape(line, out);
        out.push(b'"');
        return;
    }
    for chunk in line.utf8_chunks() {
        escape(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.extend_from_slice(b"\",\"lossy\":true");
}

/// How many bytes each byte of a text takes; what is no UTF-8 three.
const ESCAPED: [u8; 256] = {
    let mut lengths = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        lengths[byte] = match byte as u8 {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..0x20 => 6,
            0x20..0x80 => 1,
            0x80.. => 3,
        };
        byte += 1;
    }
    lengths
};

/// Where the first byte stands that must be escaped.
fn to_escape(text: &[u8]) -> Option<usize> {
    let must = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let (blocks, _) = text.as_chunks::<32>();
    // Without a branch in it: the compiler looks at all bytes of a block at once.
    let clean =
        blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | must(*byte))).count();
    let from = clean * 32;
    text[from..].iter().position(|byte| must(*byte)).map(|at| from + at)
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = to_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        let short = match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            other if other < 0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                rest = &rest[at + 1..];
                continue;
            }
            other => other,
        };
        out.extend_from_slice(&[b'\\', short]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
#[path = "dress_tests.rs"]
mod tests;
