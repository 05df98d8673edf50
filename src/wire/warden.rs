//! Between the warden and the control plane: one JSON object per packet on `warden.sock`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::name::ServiceName;

/// What can be asked of the warden; each is answered by one [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Is it there? Answers [`Reply::Keepers`].
    Ping,
    /// See to it that this service has a keeper.
    Keep {
        /// The service.
        name: ServiceName,
    },
    /// Asked by the control plane, once. Attached is, where nobody else watches it, its dead man's switch
    /// (`os::switch`): when that has fallen the warden ends the control plane. From now on [`Reply::Stopped`]
    /// until either side closes.
    Watch,
    /// End, once no keeper is left; answers [`Reply::Done`] at once.
    Quit,
    /// Become that program, with all that is held; answers [`Reply::Done`] before it does.
    Exec {
        /// Absolute path.
        program: PathBuf,
    },
}

/// What the warden answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The order is taken.
    Done,
    /// The warden and its keepers.
    Keepers {
        /// The warden's process.
        warden: i32,
        /// Each keeper: service and process.
        keepers: Vec<(ServiceName, i32)>,
        /// Version of the program that the warden runs.
        #[serde(default)]
        version: String,
    },
    /// The kernel has just stopped a keeper that is the warden's child.
    Stopped {
        /// Its service.
        name: ServiceName,
    },
    /// The request could not be carried out.
    Error {
        /// A sentence.
        message: String,
    },
}
