//! Named moments at which a test may have this process SIGKILL itself. In release builds there are none.
//!
//! `DOGWATCH_FAULT=NAME=FILE`: the first process that comes to the moment NAME creates FILE and dies; the next
//! ones find the file and go on.

/// One such moment.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        let Ok(setting) = std::env::var("DOGWATCH_FAULT") else { return };
        let Some((wanted, file)) = setting.split_once('=') else { return };
        if wanted == name && std::fs::File::create_new(file).is_ok() {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
