//! `events repair` on a file with destroyed pages.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::data;

const PAGE: u64 = 4096;
const DESTROYED: u64 = 20;

pub(crate) fn measure(bin: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("webhook_events.db");
    data::make(&database);
    let pages = fs::metadata(&database).unwrap().len() / PAGE;
    let file = File::options().write(true).open(&database).unwrap();
    for n in 1..=DESTROYED {
        // Evenly over the file, never the first page.
        file.write_all_at(&[0xa5; PAGE as usize], pages * n / (DESTROYED + 1) * PAGE).unwrap();
    }
    drop(file);
    let before = fs::read(&database).unwrap();
    let begin = Instant::now();
    let done = Command::new(bin.join("events"))
        .args(["--db", database.to_str().unwrap(), "repair"])
        .output()
        .unwrap();
    println!(
        "\nevents repair, {DESTROYED} of {pages} pages destroyed: {:.2} s, {}",
        begin.elapsed().as_secs_f64(),
        done.status
    );
    print!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let aside = fs::read_dir(folder.path().join("quarantine")).into_iter().flatten().flatten();
    let unchanged = aside.filter(|entry| entry.path().extension().is_some_and(|end| end == "db"));
    let unchanged = unchanged.filter(|entry| fs::read(entry.path()).unwrap() == before).count();
    println!("set aside, byte for byte as it was: {}", if unchanged == 1 { "yes" } else { "NO" });
}
