//! The rows on a page, without the tree that leads to it.
//!
//! A table is a tree of pages. Where one is destroyed that leads to others, all below it is out of SQLite's reach, whole
//! as it may be: in the worst case half of the table behind one page in the middle of the file. So the pages with rows
//! are also read one by one, as the file format (<https://www.sqlite.org/fileformat2.html>) describes them; which table
//! a row is of can be told from its columns. A page that is in the -wal counts as it is there.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::types::Value;

use super::wal;
use crate::file::beside;

const TABLE_LEAF: u8 = 13;
/// The size of every database that we make.
const PAGE: usize = 4096;
/// A row with more has not been written by us.
const MAX_PAYLOAD: usize = 1 << 20;

/// A row: its id, and its columns with the id in its place.
pub(super) type Row = (i64, Vec<Value>);

/// A database as a heap of pages.
pub(super) struct Pages {
    file: File,
    size: usize,
    /// What of a page holds data.
    usable: usize,
    count: u32,
    wal: Option<(File, HashMap<u32, u64>)>,
}

impl Pages {
    /// Of the database at `path` and the -wal beside it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let (size, reserved) = layout(&file);
        let wal = File::open(beside(path, "-wal")).ok().map(|wal| {
            let frames = wal::committed(&wal, size);
            (wal, frames)
        });
        let in_file = file.metadata()?.len() / size as u64;
        let in_wal = wal.iter().flat_map(|(_, frames)| frames.keys().copied()).max().unwrap_or(0);
        let count = u32::try_from(in_file).unwrap_or(u32::MAX).max(in_wal);
        Ok(Self { file, size, usable: size - reserved, count, wal })
    }

    /// The numbers of all pages that may hold rows: all but the first.
    pub(super) fn numbers(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        2..=self.count
    }

    /// The rows on this page that have so many columns. None of what cannot be understood.
    pub(super) fn rows(&self, number: u32, columns: usize) -> Vec<Row> {
        let Some(page) = self.page(number).filter(|page| page[0] == TABLE_LEAF) else {
            return Vec::new();
        };
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        let pointers = page[8..].chunks_exact(2).take(cells);
        pointers
            .filter_map(|pointer| {
                let cell = page.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..)?;
                let (length, cell) = varint(cell)?;
                let (id, cell) = varint(cell)?;
                let payload = self.payload(usize::try_from(length).ok()?, cell)?;
                Some((id, record(&payload, id, columns)?))
            })
            .collect()
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        let mut page = vec![0; self.size];
        let in_wal = self.wal.as_ref().and_then(|(wal, frames)| Some((wal, *frames.get(&number)?)));
        match in_wal {
            Some((wal, offset)) => wal.read_exact_at(&mut page, offset),
            None => {
                let index = number.checked_sub(1)?;
                self.file.read_exact_at(&mut page, u64::from(index) * self.size as u64)
            }
        }
        .ok()?;
        Some(page)
    }

    /// All of a row: what does not fit on its page is on a chain of others.
    fn payload(&self, length: usize, cell: &[u8]) -> Option<Vec<u8>> {
        if length > MAX_PAYLOAD {
            return None;
        }
        let here = self.length_here(length);
        let mut payload = cell.get(..here)?.to_vec();
        let mut next = cell.get(here..here + 4);
        let mut page;
        while payload.len() < length {
            let number = u32::from_be_bytes(next?.try_into().ok()?);
            page = self.page(number).filter(|_| number > 1)?;
            let part = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(&page[4..4 + part]);
            next = Some(&page[..4]);
        }
        Some(payload)
    }

    /// How much of a row of this length is on its own page.
    fn length_here(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

/// The size of a page, and how much at its end is not used: as the header says, if it can be believed.
fn layout(file: &File) -> (usize, usize) {
    let mut header = [0; 21];
    let is_header = file.read_exact_at(&mut header, 0).is_ok() && header.starts_with(b"SQLite format 3\0");
    let size = match usize::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let is_size = size.is_power_of_two() && size >= 512;
    if is_header && is_size { (size, usize::from(header[20]).min(size - 480)) } else { (PAGE, 0) }
}

/// The columns of a row. None: it is no row of so many columns.
fn record(payload: &[u8], id: i64, columns: usize) -> Option<Vec<Value>> {
    let (header, mut types) = varint(payload)?;
    let header = usize::try_from(header).ok()?;
    let mut body = payload.get(header..)?;
    types = types.get(..header.checked_sub(payload.len() - types.len())?)?;
    let mut values = Vec::with_capacity(columns);
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let (value, rest) = value(kind, body)?;
        body = rest;
        values.push(value);
    }
    let is_row = values.len() == columns && body.is_empty() && values.first() == Some(&Value::Null);
    is_row.then(|| {
        // The id is not stored twice.
        values[0] = Value::Integer(id);
        values
    })
}

/// One column, and what follows it.
fn value(kind: i64, body: &[u8]) -> Option<(Value, &[u8])> {
    let integer = |length: usize| {
        let (bytes, rest) = body.split_at_checked(length)?;
        let negative = bytes[0] & 0x80 != 0;
        let number =
            bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte));
        Some((Value::Integer(number), rest))
    };
    match kind {
        0 => Some((Value::Null, body)),
        1..=4 => integer(usize::try_from(kind).ok()?),
        5 => integer(6),
        6 => integer(8),
        7 => {
            let (bytes, rest) = body.split_first_chunk::<8>()?;
            Some((Value::Real(f64::from_be_bytes(*bytes)), rest))
        }
        8 | 9 => Some((Value::Integer(kind - 8), body)),
        12.. => {
            let (bytes, rest) = body.split_at_checked(usize::try_from((kind - 12) / 2).ok()?)?;
            let value = if kind % 2 == 0 {
                Value::Blob(bytes.to_vec())
            } else {
                // Garbage is no text.
                Value::Text(str::from_utf8(bytes).ok()?.to_owned())
            };
            Some((value, rest))
        }
        _ => None,
    }
}

/// A number of one to nine bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            number = number << 8 | u64::from(*byte);
        } else {
            number = number << 7 | u64::from(byte & 0x7f);
        }
        if index == 8 || byte & 0x80 == 0 {
            return Some((number.cast_signed(), &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rusqlite::{Connection, params_from_iter};

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            (-300_i64..300).prop_map(Value::Integer),
            (-1.0e9..1.0e9).prop_map(Value::Real),
            ".{0,40}".prop_map(Value::Text),
            (0_usize..12_000).prop_map(|length| Value::Text("ä".repeat(length))),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Rows of every kind and length, some of them still in the -wal: as SQLite reads them.
        #[test]
        fn it_reads_what_sqlite_wrote(
            rows in prop::collection::btree_map(1_i64.., (any_value(), any_value()), 1..30),
            in_file in 0_usize..30,
        ) {
            let folder = tempfile::TempDir::new().expect("a temporary folder");
            let path = folder.path().join("pages.db");
            let sql = Connection::open(&path).expect("a database");
            sql.execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                CREATE TABLE rows (id INTEGER PRIMARY KEY, a BLOB, b BLOB)").expect("a table");
            for (index, (id, (a, b))) in rows.iter().enumerate() {
                if index == in_file {
                    sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("in the file");
                }
                let values = [&Value::Integer(*id), a, b];
                sql.execute("INSERT INTO rows VALUES (?, ?, ?)", params_from_iter(values)).expect("a row");
            }
            // Begun and not ended: no row of it counts.
            sql.execute_batch("PRAGMA cache_size=1; BEGIN; UPDATE rows SET a = randomblob(9000)").expect("begun");
            let pages = Pages::open(&path).expect("it is there");
            let found: BTreeMap<i64, Vec<Value>> = pages.numbers().flat_map(|number| pages.rows(number, 3)).collect();
            let expected: BTreeMap<i64, Vec<Value>> =
                rows.into_iter().map(|(id, (a, b))| (id, vec![Value::Integer(id), a, b])).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn garbage_is_no_row_and_no_panic(mut page in prop::collection::vec(any::<u8>(), PAGE * 3), cells in 0_u8..200) {
            let folder = tempfile::TempDir::new().expect("a temporary folder");
            let path = folder.path().join("garbage.db");
            for start in [PAGE, 2 * PAGE] {
                page[start] = TABLE_LEAF;
                page[start + 3] = 0;
                page[start + 4] = cells;
            }
            std::fs::write(&path, &page).expect("written");
            std::fs::write(beside(&path, "-wal"), &page).expect("written");
            let pages = Pages::open(&path).expect("it is there");
            for number in pages.numbers() {
                let _ = pages.rows(number, 9);
            }
            prop_assert_eq!(pages.numbers().count(), 2);
        }
    }
}
