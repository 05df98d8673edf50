//! Archives are compressed one at a time, by a helper of the lowest priority. If it dies, its half-made file is
//! removed by the next one.

use std::collections::VecDeque;
use std::path::PathBuf;

use crate::os::launch::{Launch, launch, own_program};
use crate::paths::Paths;

/// The queue, and the helper at work.
#[derive(Debug, Default)]
pub struct Compressor {
    waiting: VecDeque<PathBuf>,
    helper: Option<i32>,
}

impl Compressor {
    /// The queue of a keeper that was another program before, of which this helper may still be at work.
    pub fn with_helper(helper: Option<i32>) -> Compressor {
        Compressor { waiting: VecDeque::new(), helper }
    }

    /// One more archive.
    pub fn add(&mut self, path: PathBuf) {
        self.waiting.push_back(path);
    }

    /// The helper's process.
    pub fn pid(&self) -> Option<i32> {
        self.helper
    }

    /// A child has ended.
    pub fn ended(&mut self, pid: i32) {
        if self.helper == Some(pid) {
            self.helper = None;
        }
    }

    /// Starts the next helper if none is at work. One that cannot be started leaves its archive as it is: the
    /// next keeper tries again.
    pub fn next(&mut self, paths: &Paths) {
        if self.helper.is_some() {
            return;
        }
        // An archive that a predecessor's helper was still at work on is gone by now.
        let Some(path) = std::iter::from_fn(|| self.waiting.pop_front()).find(|path| path.exists()) else {
            return;
        };
        let Ok(program) = own_program() else { return };
        let output = paths.own_fifo();
        let what = Launch {
            program,
            args: vec!["compress".into(), path.into_os_string()],
            env: Vec::new(),
            inherit: Vec::new(),
            output: &output,
        };
        self.helper = launch(&what).ok().map(|(pid, _)| pid);
    }
}
