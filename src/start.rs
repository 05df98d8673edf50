//! What a control plane is started with: the command line says it, the control plane does it.

use std::path::PathBuf;

use crate::model::name::ServiceName;
use crate::paths::Paths;

/// The wishes of whoever starts a control plane.
#[derive(Debug, Clone)]
pub struct Start {
    /// Where everything is.
    pub paths: Paths,
    /// The folder that `--home` named, absolute.
    pub home: Option<PathBuf>,
    /// The ecosystem.toml, absolute.
    pub file: PathBuf,
    /// Of services that nobody has wanted or unwanted yet, only these are wanted; none: all.
    pub only: Vec<ServiceName>,
    /// Take over what runs, stop it all, and end.
    pub only_down: bool,
}
