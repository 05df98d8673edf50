//! The upkeep of the file: everything that people did to it by hand, one file each.
//!
//! All of it works beside a running webhook. Whoever changes the file holds the lock as a writer and writes in short
//! transactions; whoever replaces it holds the lock alone. Everything can be stopped at any moment, with [`Stop`] or
//! with SIGKILL: what was being made is then not there at all.

mod backup;
mod backup_name;
mod check;
mod disk;
mod editor;
mod examine;
mod facts;
mod full_backup;
mod growth;
mod holders;
mod job;
mod optimize;
mod restore;
mod retention;
mod workplace;

pub use backup::{Backup, back_up};
pub use backup_name::{folder as backups_folder, newest as newest_backup};
pub use check::{Finding, Level, Places, check, set_modes};
pub use disk::{free_bytes, is_disk_full};
pub use examine::{Content, Table};
pub use facts::{Facts, facts};
pub use full_backup::{FullBackup, back_up_fully};
pub use growth::{Growth, Record, growth, record_growth};
pub use job::{Job, Progress, Stop};
pub use optimize::{Optimized, Sizes, Vacuum, optimize};
pub use restore::{Restored, rehearse, restore};
pub use retention::{Counts, Retention, count_old, prune};
