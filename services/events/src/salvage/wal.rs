//! The -wal of a database: which pages it holds, as of the last commit.
//!
//! As SQLite reads it after a crash: frame after frame, as long as the numbers of this -wal and the sums of the bytes are
//! right, and no further than the last frame that ends a transaction.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says in which order the bytes of a sum stand.
const MAGIC: u32 = 0x377f_0682;

/// Where in the -wal the newest state of each page is. Nothing if it is no -wal for pages of this size.
pub(super) fn committed(wal: &File, page_size: usize) -> HashMap<u32, u64> {
    read(wal, page_size).unwrap_or_default()
}

fn read(wal: &File, page_size: usize) -> Option<HashMap<u32, u64>> {
    let mut header = [0; HEADER];
    wal.read_exact_at(&mut header, 0).ok()?;
    let magic = word(&header, 0);
    let is_ours = magic & !1 == MAGIC && word(&header, 8) as usize == page_size;
    let mut sum = Sum { is_big_endian: magic & 1 == 1, words: [0; 2] };
    sum.add(&header[..24]);
    if !is_ours || !sum.is(&header[24..]) {
        return None;
    }
    let salt = &header[16..24];

    let (mut committed, mut open) = (HashMap::new(), HashMap::new());
    let mut frame = vec![0; FRAME_HEADER + page_size];
    let mut offset = HEADER as u64;
    while wal.read_exact_at(&mut frame, offset).is_ok() {
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER..]);
        if frame[8..16] != *salt || !sum.is(&frame[16..24]) {
            break;
        }
        open.insert(word(&frame, 0), offset + FRAME_HEADER as u64);
        let ends_transaction = word(&frame, 4) != 0;
        if ends_transaction {
            committed.extend(open.drain());
        }
        offset += frame.len() as u64;
    }
    Some(committed)
}

/// The sum over all bytes so far, in two words.
struct Sum {
    is_big_endian: bool,
    words: [u32; 2],
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let read = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let [mut one, mut two] = self.words;
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(read([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(two);
            two = two.wrapping_add(read([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(one);
        }
        self.words = [one, two];
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.words == [word(bytes, 0), word(bytes, 4)]
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
