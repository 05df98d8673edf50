//! A value that must not be seen.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A token or key: never printed, compared without telling by the time how much was right.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a value that is to be kept hidden.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for the few places that must use it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Is `candidate` this secret? Takes the same time whatever the answer.
    #[must_use]
    pub fn matches(&self, candidate: &[u8]) -> bool {
        // Digests have one length, so neither the length nor a common beginning shows.
        digest(self.0.as_bytes()).verify(&digest(candidate).finalize())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

struct Digest(Hmac<Sha256>);

impl Digest {
    fn finalize(self) -> Vec<u8> {
        self.0.finalize().into_bytes().to_vec()
    }

    fn verify(self, other: &[u8]) -> bool {
        self.0.verify_slice(other).is_ok()
    }
}

fn digest(value: &[u8]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"compare").expect("HMAC takes a key of any length");
    mac.update(value);
    Digest(mac)
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn compares_whole_values() {
        let secret = Secret::new("example-token".into());
        assert!(secret.matches(b"example-token"));
        for wrong in ["", "example", "example-token2", "Example-token"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("example-token".into())), "(hidden)");
    }
}
