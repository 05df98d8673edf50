//! The file `spec.json` that tells a keeper what to run.

use serde::{Deserialize, Serialize};

use crate::model::spec::ServiceSpec;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFile {
    /// [`super::VERSION`] of the writer.
    pub v: u32,
    /// What to run.
    pub spec: ServiceSpec,
    /// A memory limit was set on the command line: the spec differs from ecosystem.toml on purpose.
    #[serde(default)]
    pub limit_overridden: bool,
}

impl SpecFile {
    /// The file's content for `spec`.
    pub fn encode(spec: &ServiceSpec, limit_overridden: bool) -> Vec<u8> {
        let file = SpecFile { v: super::VERSION, spec: spec.clone(), limit_overridden };
        serde_json::to_vec(&file).expect("a spec has only string keys and finite numbers")
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// A sentence: not a spec, or one from a newer dogwatch.
    pub fn decode(bytes: &[u8]) -> Result<SpecFile, String> {
        let file: SpecFile = serde_json::from_slice(bytes).map_err(|error| format!("not a spec: {error}"))?;
        if file.v > super::VERSION {
            return Err(format!(
                "written by a newer dogwatch (version {}, this program knows {})",
                file.v,
                super::VERSION
            ));
        }
        if file.spec.command.is_empty() {
            return Err("not a spec: the command is empty".to_owned());
        }
        Ok(file)
    }
}
