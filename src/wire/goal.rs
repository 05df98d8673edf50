//! What the operator wants of a service, on disk: two slots of one file, written in turn.

use crate::model::fnv::fnv1a;
use crate::model::phase::Goal;

/// Size of one slot, bytes; the file has two.
pub const SLOT: usize = 64;

/// One slot's content: `<seq> up|down <check sum>`, padded.
pub fn encode(seq: u64, goal: Goal) -> [u8; SLOT] {
    let word = match goal {
        Goal::Up => "up",
        Goal::Down => "down",
    };
    let body = format!("{seq} {word}");
    let line = format!("{body} {:016x}", fnv1a(body.as_bytes()));
    let mut slot = [b' '; SLOT];
    slot[..line.len()].copy_from_slice(line.as_bytes());
    slot[SLOT - 1] = b'\n';
    slot
}

/// The newest goal in a file's content and its `seq`; none if there is no valid slot.
pub fn decode(file: &[u8]) -> Option<(u64, Goal)> {
    file.chunks(SLOT).filter_map(decode_slot).max_by_key(|(seq, _)| *seq)
}

fn decode_slot(slot: &[u8]) -> Option<(u64, Goal)> {
    let text = std::str::from_utf8(slot).ok()?.trim_end();
    let (body, sum) = text.rsplit_once(' ')?;
    if u64::from_str_radix(sum, 16).ok()? != fnv1a(body.as_bytes()) {
        return None;
    }
    let (seq, word) = body.split_once(' ')?;
    let goal = match word {
        "up" => Goal::Up,
        "down" => Goal::Down,
        _ => return None,
    };
    Some((seq.parse().ok()?, goal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_valid_slot_counts() {
        let mut file = [encode(4, Goal::Up), encode(5, Goal::Down)].concat();
        assert_eq!(decode(&file), Some((5, Goal::Down)));
        file[SLOT] ^= 1;
        assert_eq!(decode(&file), Some((4, Goal::Up)));
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&encode(u64::MAX, Goal::Down)), Some((u64::MAX, Goal::Down)));
    }
}
