//! A reader cannot repair what it finds damaged. It leaves a note, the file `<database>.suspect`, and the writer looks.

use std::path::Path;

use crate::file::{beside, make_new, remove};

const NOTE: &str = ".suspect";

/// Leaves the note. Who cannot write beside the database cannot; the writer will meet the damage itself.
pub(crate) fn mark(database: &Path) {
    let _ = make_new(&beside(database, NOTE));
}

/// Is there a note?
pub(crate) fn is_marked(database: &Path) -> bool {
    beside(database, NOTE).exists()
}

/// Takes the note away. One that stays is read again later.
pub(crate) fn clear(database: &Path) {
    let _ = remove(&beside(database, NOTE));
}
