//! What dogwatch's processes tell each other, and services, at birth: in environment variables and inherited
//! descriptors.

/// Names the folder below which cgroups may be made; the warden sets it for keepers.
pub const CGROUP: &str = "DOGWATCH_CGROUP";
/// Who restarts the control plane; [`BY_SYSTEMD`], or else the warden.
pub const MANAGED: &str = "DOGWATCH_MANAGED";
/// The value of [`MANAGED`] under systemd.
pub const BY_SYSTEMD: &str = "systemd";
/// Name of the inherited connection to the warden (see `os::inherit`).
pub const WARDEN_FD: &str = "warden";
/// Tells a service with a view the number of its socket (see [`super::view`]).
pub const STATUS_FD: &str = "DOGWATCH_STATUS_FD";

/// Tells the command of `[notifications]` of what: a sentence.
pub const ALERT: &str = "DOGWATCH_ALERT";
/// Tells it what the problem is about: the same at its end as at its beginning.
pub const ALERT_TOPIC: &str = "DOGWATCH_ALERT_TOPIC";
/// Tells it whether it `begins` or is `over`.
pub const ALERT_STATE: &str = "DOGWATCH_ALERT_STATE";

// What a process hands to itself when it becomes a newer program. Names with a slash are of what is held.

/// Its lock.
pub const LOCK_FD: &str = "lock";
/// The socket on which requests come.
pub const REQUESTS_FD: &str = "requests";
/// The control plane's socket for TCP.
pub const TCP_FD: &str = "tcp";
/// Begins the name of a connection of a keeper to one who holds.
pub const HOLDER_FD: &str = "holder.";
/// Begins the name of the switch of a holder of the same number.
pub const SWITCH_FD: &str = "switch.";
/// Begins the name of a connection of a keeper to one who watches.
pub const WATCHER_FD: &str = "watcher.";
/// What it remembers: how orphans ended, `PID=STATUS`, with commas.
pub const ORPHANS: &str = "orphans";
/// What it remembers: the number of the helper that compresses an archive.
pub const HELPER: &str = "helper";
