//! A changed ecosystem.toml is checked and reported. Nothing is ever started, stopped or changed because of
//! it: that is what `up` and `restart` are for.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::book::Look;
use super::plane::Plane;
use super::say::say;

/// An editor writes in several steps: they are over when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(200);
/// The topic of problems about it.
const TOPIC: &str = "watch";

/// Watches for ever, or says why it cannot.
pub async fn run(plane: Arc<Plane>) {
    let (bell, mut rings) = mpsc::channel(1);
    let _watcher = match start(plane.book.path(), bell) {
        Ok(watcher) => watcher,
        Err(error) => {
            let file = plane.book.path().display();
            let text = format!("changes of {file} go unnoticed until a restart takes them over: {error}");
            say(&text);
            plane.problem(TOPIC, Some(text));
            return;
        }
    };
    while rings.recv().await.is_some() {
        while let Ok(Some(())) = timeout(QUIET, rings.recv()).await {}
        report(&plane);
    }
}

/// Looks at the file and says what is new about it.
pub fn report(plane: &Plane) {
    let file = plane.book.path().display();
    match plane.book.look() {
        Look::Same => {}
        Look::Changed(difference) => say(format_args!("{file}: {difference}")),
        Look::Wrong(mistakes) => say(format_args!("{file} is not taken over:\n{}", mistakes.text)),
    }
}

/// Watches the folder, not the file: editors put a new file in the place of the old one.
fn start(file: &Path, bell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let name = file.file_name().map(OsString::from);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let concerns = match event {
            // The queue ran over or the watch broke: look at the file to be sure.
            Err(_) => true,
            Ok(event) if event.need_rescan() => true,
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) => event.paths.iter().any(|path| path.file_name() == name.as_deref()),
        };
        if concerns {
            // A full channel means that a look is due already.
            let _ = bell.try_send(());
        }
    })?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
