//! The threads that ask the database, so that the thread that answers requests never waits for a disk.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use events::{Connection, Error, Reader, Trouble};
use service_common::log;
use tokio::sync::oneshot;

const THREADS: usize = 2;
const QUEUE: usize = 256;
const QUERY_TIME: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut Reader) + Send>;

/// A few read-only connections, each with its own thread.
#[derive(Debug)]
pub(crate) struct Pool(SyncSender<Job>);

impl Pool {
    pub(crate) fn start(database: &Path) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let (queue, reader) = (Arc::clone(&queue), Reader::new(database.to_owned()));
            std::thread::Builder::new()
                .name(format!("query-{number}"))
                .spawn(move || work(&queue, reader, number == 0))?;
        }
        Ok(Self(jobs))
    }

    /// Asks the database; what it is asked runs for five seconds at most.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            if !answer.is_closed() {
                let result = reader.ask_within(QUERY_TIME, question).map_err(|error| error.trouble());
                // Who asked may have gone meanwhile.
                let _ = answer.send(result);
            }
        });
        // A full queue means that the database is far too slow already.
        self.0.try_send(job).map_err(|_| Trouble::TooSlow)?;
        answered.await.unwrap_or(Err(Trouble::Unavailable))
    }
}

/// `telling`: this thread tells for all of them what is wrong with the file.
fn work(queue: &Mutex<Receiver<Job>>, mut reader: Reader, telling: bool) {
    // An old file is brought up to date before anybody asks; a file that cannot be opened is tried again then.
    let opened = reader.refresh().is_ok();
    if let (true, Some(error)) = (opened && telling, reader.not_up_to_date()) {
        log::error(format_args!("the events database is read as it is: {error}"));
    }
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A defect in one question must not take the thread from all others; who asked is told by the dropped channel.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut reader)));
    }
}
