//! A dogwatch with a defect, for the tests. Its last line says which one, and where it shows; without such a line it is
//! as good as any:
//!
//! ```text
//! lemon ROLE DEFECT       ROLE: control, warden, keeper
//!
//! exit        end at once with code 1   | done        the same with code 0
//! hang        do nothing for ever       | crash:MS    work, and end by SIGABRT after so many milliseconds
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The line is not longer.
const LONGEST: u64 = 64;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let role = words.iter().find(|word| ["control", "warden", "keeper"].iter().any(|role| word == role));
    let line = last_line();
    if let (Some(role), Some(("lemon", defect))) = (role, line.split_once(' '))
        && let Some((wanted, defect)) = defect.split_once(' ')
        && role == wanted
    {
        match defect.split_once(':') {
            None if defect == "exit" => return ExitCode::FAILURE,
            None if defect == "done" => return ExitCode::SUCCESS,
            None => loop {
                thread::park();
            },
            Some((_, millis)) => crash_after(millis.parse().expect("milliseconds")),
        }
    }
    ExitCode::from(dogwatch::dispatch::run(words))
}

/// Of the file that this process runs.
fn last_line() -> String {
    let file = File::open("/proc/self/exe").expect("/proc is mounted");
    let length = file.metadata().expect("it is open").len();
    let mut end = vec![0; LONGEST as usize];
    file.read_exact_at(&mut end, length - LONGEST).expect("a program is longer");
    let text = String::from_utf8_lossy(&end).into_owned();
    text.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "this program has nothing to wait for")]
fn crash_after(millis: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(millis));
        std::process::abort();
    });
}
