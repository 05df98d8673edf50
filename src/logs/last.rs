//! Where the last lines of a stream begin: read from the back, over archives if they must be.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::{memchr_iter, memrchr_iter};

use super::cursor::{Cursor, Place, Read};
use super::files::{Opened, Stream};

/// Read at a time, bytes.
const BLOCK: usize = 64 * 1024;
/// The most that [`text`] gives, bytes.
const MOST_TEXT: usize = 64 * 1024;

/// A reader at the beginning of the last `count` lines since the log was flushed. A line that is not finished counts.
///
/// # Errors
/// Those of reading the present file; archives that cannot be read are left out.
pub fn lines(stream: Stream, count: u64) -> io::Result<Cursor> {
    loop {
        let archives = stream.archives_after(0);
        let newest = archives.last().map_or(0, |archive| archive.at_ms);
        let mut missing = count;
        let mut start = Place { after: newest, ..Place::default() };
        match stream.open() {
            Ok(mut file) => {
                let (found, offset) =
                    search(&mut file, missing).map_err(|error| stream.unreadable(&error))?;
                missing -= found;
                start = Place { after: newest, inode: file.inode.unwrap_or(0), offset };
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if stream.newest() != newest {
            continue; // a rotation in this very moment
        }
        for (position, archive) in archives.iter().enumerate().rev() {
            if missing == 0 || archive.was_flushed() {
                break;
            }
            let after = position.checked_sub(1).map_or(0, |before| archives[before].at_ms);
            let found = stream.open_archive(archive).and_then(|mut file| {
                let (found, offset) = search(&mut file, missing)?;
                Ok((found, Place { after, inode: file.inode.unwrap_or(0), offset }))
            });
            // What cannot be read is told by the reader that comes to it.
            let (found, place) = found.unwrap_or((0, Place { after, ..Place::default() }));
            (missing, start) = (missing - found, place);
        }
        return Cursor::at(stream, start);
    }
}

/// The last `count` lines of a log, each with its line feed; no more than a screen has room for.
///
/// # Errors
/// As [`lines`].
pub fn text(stream: Stream, count: u64) -> io::Result<Vec<u8>> {
    let mut cursor = lines(stream, count)?;
    cursor.stop_here();
    let mut text = Vec::new();
    while text.len() < MOST_TEXT && cursor.read()? == Read::Some {
        while let Some((piece, _)) = cursor.piece() {
            text.extend_from_slice(piece.bytes);
            text.extend(piece.ends.then_some(b'\n'));
        }
    }
    text.extend(cursor.rest().map(|(piece, _)| piece.bytes.to_vec()).unwrap_or_default());
    text.truncate(MOST_TEXT);
    Ok(text)
}

/// How many of the last `count` lines a file has, and where they begin.
fn search(file: &mut Opened, count: u64) -> io::Result<(u64, u64)> {
    if count == 0 {
        return Ok((0, file.length().unwrap_or(0)));
    }
    match file.plain() {
        Some(plain) => backwards(plain, count),
        None => Ok(forwards(file, count)),
    }
}

fn backwards(file: &File, count: u64) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let (mut start, mut found) = (length, 0);
    let mut block = vec![0; BLOCK];
    while start > 0 {
        let size = (BLOCK as u64).min(start);
        start -= size;
        let block = &mut block[..size as usize];
        file.read_exact_at(block, start)?;
        for at in memrchr_iter(b'\n', block) {
            let next = start + at as u64 + 1;
            // The line feed at the very end finishes the last line; it does not begin another.
            if next == length {
                continue;
            }
            found += 1;
            if found == count {
                return Ok((count, next));
            }
        }
    }
    Ok((found + u64::from(length > 0), 0))
}

/// The same for a file that can only be read from its beginning: the last `count` beginnings of lines are remembered. One
/// that is damaged ends there.
fn forwards(file: &mut Opened, count: u64) -> (u64, u64) {
    let keep = usize::try_from(count).unwrap_or(usize::MAX);
    let mut starts = std::collections::VecDeque::new();
    let mut block = vec![0; BLOCK];
    let (mut offset, mut begins) = (0, true);
    loop {
        let size = file.read(&mut block).unwrap_or(0);
        if size == 0 {
            return (starts.len() as u64, starts.front().copied().unwrap_or(0));
        }
        let mut note = |start: u64| {
            if starts.len() == keep {
                starts.pop_front();
            }
            starts.push_back(start);
        };
        if begins {
            note(offset);
        }
        let feeds = memchr_iter(b'\n', &block[..size]).map(|at| at + 1);
        feeds.filter(|next| *next < size).for_each(|next| note(offset + next as u64));
        begins = block[size - 1] == b'\n';
        offset += size as u64;
    }
}
