//! Named moments at which a test may have this process SIGKILL itself, or hang. In release builds there are none.
//!
//! `DOGWATCH_FAULT=NAME=FILE`: the first process that comes to the moment NAME creates FILE and dies; the next
//! ones find the file and go on. `DOGWATCH_HANG=NAME=FILE`: the same, but it hangs.

/// One such moment.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        if is_meant("DOGWATCH_FAULT", name) {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
        if is_meant("DOGWATCH_HANG", name) {
            loop {
                let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::NONE);
            }
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Whether the variable names this moment, and no process has come to it before.
#[cfg(debug_assertions)]
fn is_meant(variable: &str, name: &str) -> bool {
    let setting = std::env::var(variable).unwrap_or_default();
    setting
        .split_once('=')
        .is_some_and(|(wanted, file)| wanted == name && std::fs::File::create_new(file).is_ok())
}
