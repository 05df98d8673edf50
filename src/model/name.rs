//! The name of a service, checked once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A service's name: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or a digit. Such a name is safe
/// as a file name, as a cgroup name and in a URL, and can never be taken for an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

/// Why a text is not a service name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty text.
    #[error("a service name must not be empty")]
    Empty,
    /// More than 64 bytes.
    #[error("a service name has at most 64 characters, this one has {0}")]
    TooLong(usize),
    /// A character that could hurt in a path, a cgroup or a URL.
    #[error("a service name is made of letters, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
    /// The first character is not a letter or a digit.
    #[error("a service name begins with a letter or a digit, not {0:?}")]
    First(char),
    /// `all` means every service on the command line.
    #[error("\"all\" means every service and cannot be the name of one")]
    Reserved,
}

impl ServiceName {
    /// Longest name, in bytes: leaves room for `-error.<UTC>.log.gz` in a file name of 255.
    pub const MAX: usize = 64;

    /// Checks `text`.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(text: &str) -> Result<ServiceName, NameError> {
        let Some(first) = text.chars().next() else {
            return Err(NameError::Empty);
        };
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            return Err(NameError::Character(bad));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::First(first));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if text == "all" {
            return Err(NameError::Reserved);
        }
        Ok(ServiceName(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServiceName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        ServiceName::new(&text)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses() {
        for good in ["web", "a", "7", "webhook-button-handler", "a.b_c-D"] {
            assert_eq!(ServiceName::new(good).unwrap().as_str(), good);
        }
        assert_eq!(ServiceName::new(""), Err(NameError::Empty));
        assert_eq!(ServiceName::new("all"), Err(NameError::Reserved));
        assert_eq!(ServiceName::new("-rf"), Err(NameError::First('-')));
        assert_eq!(ServiceName::new(".."), Err(NameError::First('.')));
        assert_eq!(ServiceName::new("a/b"), Err(NameError::Character('/')));
        assert_eq!(ServiceName::new("é"), Err(NameError::Character('é')));
        assert_eq!(ServiceName::new(&"x".repeat(65)), Err(NameError::TooLong(65)));
    }
}
