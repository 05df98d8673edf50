//! What a log file holds beside the bytes of the service.

use serde::{Deserialize, Serialize};

use super::date_format::DateFormat;

/// What the lines of a log look like in its file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dress {
    /// As the service wrote them, byte for byte.
    #[default]
    Plain,
    /// With the time at which they were read before each, as pm2 has it.
    Inline(DateFormat),
    /// Each in an object of its own.
    Json,
}

impl Dress {
    /// Whether the bytes are the service's.
    pub fn is_plain(&self) -> bool {
        *self == Dress::Plain
    }
}
