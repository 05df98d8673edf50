//! Writes dressed lines ([`super::dress`]) from a stage into a log, so that a SIGKILL neither loses nor doubles one.
//!
//! What is in the stage is looked at, not taken: it is dressed in a buffer and written, and only then taken out. What is
//! on its way stands in a note before ([`crate::wire::dress_note`]). A successor that finds it on its way writes the same
//! bytes again at the same place if the stage still has them, so nobody who follows the file sees it shrink; if not, they
//! are all written.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::dress::{self, Before, Rest};
use super::log_file::LogFile;
use super::sources::{Source, Sources};
use crate::model::date_format::BEFORE_LINE;
use crate::model::dress::Dress;
use crate::model::fnv::fnv1a;
use crate::model::moment::Now;
use crate::os::peek::{Peek, SIGHT};
use crate::os::{fault, fifo, file, zone};
use crate::wire::dress_note::{DressNote, Remains, SIZE};
use crate::wire::log_line::{self, StreamName};

/// Of these bytes a fingerprint is taken.
const SAMPLE: usize = 512;
/// Buffers of this size are kept whatever they are used for.
const SMALL: usize = 4096;

/// How one stream is dressed.
#[derive(Debug)]
pub struct Dressing {
    dress: Dress,
    service: String,
    stream: StreamName,
    /// Of the dress.
    fingerprint: u64,
    note: Noted,
    /// What stands before each line, and the time in it.
    head: Vec<u8>,
    head_ms: Option<u64>,
    staged: Vec<u8>,
    dressed: Vec<u8>,
}

/// What goes through in one batch.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// It ends where a line does, at or behind so many bytes.
    pub room: u64,
    /// What becomes of a line without an end.
    pub rest: Rest,
}

impl Dressing {
    /// The dressing of a stream of that service; none if its lines stay as they are. What is on its way stands in the file
    /// at `note`.
    pub fn new(dress: &Dress, service: &str, stream: StreamName, note: PathBuf) -> Option<Dressing> {
        if dress.is_plain() {
            return None;
        }
        let fingerprint = fnv1a(&serde_json::to_vec(dress).expect("it has strings only"));
        Some(Dressing {
            dress: dress.clone(),
            service: service.to_owned(),
            stream,
            fingerprint,
            note: Noted { path: note, file: None },
            head: Vec::new(),
            head_ms: None,
            staged: Vec::new(),
            dressed: Vec::new(),
        })
    }

    /// Whether the beginning of a line waits in the stage for its end.
    pub fn holds_rest(&self) -> bool {
        self.dress == Dress::Json
    }

    /// Writes lines from the stage of a run into the log. Returns how many bytes were taken out of the stage.
    ///
    /// # Errors
    /// Those of looking and writing: the bytes are still in the stage.
    pub fn take(
        &mut self,
        log: &mut LogFile,
        source: &Source,
        batch: Batch,
        peek: &mut Peek,
        now: Now,
    ) -> io::Result<usize> {
        let stage = source.channel.stage.as_fd();
        log.offset(now)?;
        let before = log.before()?;
        let waiting = fifo::waiting(stage)?;
        peek.look_into(stage, SIGHT, &mut self.staged)?;
        let taken = self.put_on(before, batch, now.unix_ms);
        if taken > 0 {
            self.carry(log, source, (waiting, taken), batch.rest, now)?;
        }
        Ok(taken)
    }

    /// Writes what is in the stage of a run with these bytes behind it, the end of its last line, which are nowhere else. Of
    /// a line that is longer than can be looked at in one go it is the last part.
    ///
    /// # Errors
    /// Those of looking and writing: what is not written is still in the stage.
    pub fn take_with_end(
        &mut self,
        log: &mut LogFile,
        source: &Source,
        end: &[u8],
        peek: &mut Peek,
        now: Now,
    ) -> io::Result<()> {
        let stage = source.channel.stage.as_fd();
        let staged = loop {
            let waiting = fifo::waiting(stage)?;
            peek.look_into(stage, SIGHT, &mut self.staged)?;
            if self.staged.len() >= waiting {
                break self.staged.len();
            }
            let part = Batch { room: u64::MAX, rest: Rest::GoesOn };
            if self.take(log, source, part, peek, now)? == 0 {
                return Err(io::Error::other("what is in its stage cannot be looked at"));
            }
        };
        log.offset(now)?;
        self.staged.extend_from_slice(end);
        self.put_on(log.before()?, Batch { room: u64::MAX, rest: Rest::Ends }, now.unix_ms);
        match staged {
            0 => log.put(&self.dressed, now),
            // A successor of a keeper that is killed in it writes what is in the stage: nobody else has the end.
            _ => self.carry(log, source, (staged, staged), Rest::Ends, now),
        }
    }

    /// Writes what was dressed, and takes out of the stage what it was made of.
    fn carry(
        &mut self,
        log: &mut LogFile,
        source: &Source,
        (waiting, taken): (usize, usize),
        ending: Rest,
        now: Now,
    ) -> io::Result<()> {
        let Some((file, offset)) = log.opened() else { return Err(io::Error::other("it is not open")) };
        let note = DressNote {
            file,
            offset,
            run: source.run,
            staged: waiting as u64,
            taken: taken as u64,
            unix_ms: now.unix_ms,
            ending: number_of(ending),
            bytes: sample(&self.staged[..taken]),
            dress: self.fingerprint,
        };
        self.note.write(&note, false);
        fault::point("before dressed lines are written");
        let written = log.put(&self.dressed, now);
        if written.is_ok() {
            fault::point("after dressed lines are written");
            take_out(source.channel.stage.as_fd(), &mut self.staged[..taken])?;
            fault::point("after dressed lines are taken");
        }
        self.note.write(&note, true);
        self.shrink();
        written
    }

    /// A line of dogwatch's own, and from which byte on it is the same at whatever time it is written.
    pub fn own_line(&mut self, line: &str, unix_ms: u64) -> (&[u8], usize) {
        self.staged.clear();
        self.staged.extend_from_slice(line.as_bytes());
        self.put_on(Before::LineEnd, Batch { room: u64::MAX, rest: Rest::Ends }, unix_ms);
        (&self.dressed, self.head.len())
    }

    /// Ends a line that is not ended.
    ///
    /// # Errors
    /// Those of opening and writing.
    pub fn end_line(&mut self, log: &mut LogFile, now: Now) -> io::Result<()> {
        log.offset(now)?;
        match log.before()? {
            Before::LineEnd => Ok(()),
            Before::MidLine => log.put(b"\n", now),
            Before::Part => {
                let (end, _) = self.own_line("\n", now.unix_ms);
                log.put(end, now)
            }
        }
    }

    /// Dresses what was staged. Returns how many bytes of it.
    fn put_on(&mut self, before: Before, Batch { room, rest }: Batch, unix_ms: u64) -> usize {
        if self.head_ms != Some(unix_ms) {
            self.head_ms = Some(unix_ms);
            self.head.clear();
            match &self.dress {
                Dress::Plain => {}
                Dress::Inline(format) => {
                    let ahead = zone::ahead_of_utc((unix_ms / 1000) as i64);
                    format.write(&mut self.head, unix_ms, ahead);
                    self.head.extend_from_slice(BEFORE_LINE.as_bytes());
                }
                Dress::Json => log_line::write_head(&mut self.head, unix_ms, &self.service, self.stream),
            }
        }
        self.dressed.clear();
        match &self.dress {
            Dress::Json => dress::json(&self.head, &self.staged, before, room, rest, &mut self.dressed),
            _ => dress::inline(&self.head, &self.staged, before, room, &mut self.dressed),
        }
    }

    /// After a flood the buffers are small again.
    fn shrink(&mut self) {
        for buffer in [&mut self.staged, &mut self.dressed] {
            if buffer.capacity() > 8 * buffer.len().max(SMALL) {
                buffer.shrink_to(SMALL);
            }
        }
    }

    /// Writes again what a predecessor may have written in part. False if it cannot be the same.
    fn write_again(&mut self, note: &DressNote, log: &mut LogFile, now: Now) -> io::Result<bool> {
        let taken = self.staged.len();
        if note.dress != self.fingerprint || taken as u64 != note.taken {
            return Ok(false);
        }
        let before = log.before()?;
        let batch = Batch { room: u64::MAX, rest: rest_of(note.ending) };
        if self.put_on(before, batch, note.unix_ms) != taken {
            return Ok(false);
        }
        log.put(&self.dressed, now)?;
        log.cut()?; // it is longer only if the time zone is another one now
        Ok(true)
    }
}

/// Finishes what a predecessor was killed in, if it was killed in anything.
///
/// # Errors
/// Those of looking and writing.
pub fn settle(
    path: PathBuf,
    dressing: &mut Option<Dressing>,
    log: &mut LogFile,
    sources: &Sources,
    peek: &mut Peek,
    now: Now,
) -> io::Result<()> {
    let Some(note) = std::fs::read(&path).ok().and_then(|bytes| DressNote::decode(&bytes)) else {
        return Ok(());
    };
    let source = sources.iter().find(|source| source.run == note.run);
    let is_its_log = log.opened().is_some_and(|(id, length)| id == note.file && length >= note.offset);
    if let Some(source) = source.filter(|_| is_its_log) {
        let stage = source.channel.stage.as_fd();
        let mut staged = Vec::new();
        peek.look_into(
            stage,
            usize::try_from(note.taken).map_or(SIGHT, |taken| taken.min(SIGHT)),
            &mut staged,
        )?;
        match note.remains(fifo::waiting(stage)? as u64, sample(&staged)) {
            Remains::Take(left) => {
                staged.resize(usize::try_from(left).map_or(SIGHT, |left| left.min(SIGHT)), 0);
                take_out(stage, &mut staged)?;
            }
            Remains::Write => {
                log.go_back(note.offset);
                let again = match dressing {
                    Some(dressing) => {
                        dressing.staged.clone_from(&staged);
                        dressing.write_again(&note, log, now)?
                    }
                    None => false,
                };
                match again {
                    true => take_out(stage, &mut staged)?,
                    false => log.cut()?, // they are written as everything that is staged
                }
            }
        }
    }
    Noted { path, file: None }.write(&note, true);
    Ok(())
}

/// Takes so many bytes out of a stage that has them.
fn take_out(stage: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<()> {
    let mut taken = 0;
    while taken < room.len() {
        match fifo::take(stage, &mut room[taken..])? {
            0 => break, // nobody else takes any
            some => taken += some,
        }
    }
    Ok(())
}

fn sample(bytes: &[u8]) -> u64 {
    fnv1a(&bytes[..bytes.len().min(SAMPLE)])
}

const ENDINGS: [Rest; 3] = [Rest::Waits, Rest::GoesOn, Rest::Ends];

fn number_of(rest: Rest) -> u64 {
    ENDINGS.iter().position(|other| *other == rest).map_or(0, |at| at as u64)
}

fn rest_of(number: u64) -> Rest {
    usize::try_from(number).ok().and_then(|at| ENDINGS.get(at)).copied().unwrap_or(Rest::Waits)
}

/// The note's file. One that cannot be written costs certainty, never a line: a SIGKILL may repeat a batch then.
#[derive(Debug)]
struct Noted {
    path: PathBuf,
    file: Option<File>,
}

impl Noted {
    fn write(&mut self, note: &DressNote, done: bool) {
        if self.file.is_none() {
            self.file = file::open_preallocated(&self.path, SIZE).ok();
        }
        let _ = self.file.as_ref().map(|file| file.write_all_at(&note.encode(done), 0));
    }
}
