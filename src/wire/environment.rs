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
