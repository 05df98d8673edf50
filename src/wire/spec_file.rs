//! `spec.json`: the checked entry of a service, as the control plane leaves it for the keeper.

use serde::{Deserialize, Serialize};

use crate::model::spec::ServiceSpec;

/// The content of a spec.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFile {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// All that is needed to run the service.
    pub spec: ServiceSpec,
    /// Its memory limit came from a command line, not from ecosystem.toml.
    #[serde(default)]
    pub limit_overridden: bool,
}

/// Why a spec.json cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Written by a newer dogwatch.
    #[error("written by a newer dogwatch (version {0}, this program knows {known})", known = super::VERSION)]
    Newer(u32),
    /// Not such a file.
    #[error("damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl SpecFile {
    /// A file for this spec, as ecosystem.toml has it.
    pub fn new(spec: ServiceSpec) -> SpecFile {
        SpecFile {
            v: super::VERSION,
            spec,
            limit_overridden: false,
        }
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn decode(bytes: &[u8]) -> Result<SpecFile, SpecError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        match serde_json::from_slice::<Version>(bytes)? {
            Version { v } if v > super::VERSION => Err(SpecError::Newer(v)),
            Version { .. } => Ok(serde_json::from_slice(bytes)?),
        }
    }
}
