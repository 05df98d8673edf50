//! The key of a message in 16 bytes, for those who must remember many.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

/// Marks a fingerprint where a key is expected: no key begins with it.
const MARK: char = '#';

/// The first half of the SHA-256 of a key. The same in every process and for ever: the database holds some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of this key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes)
    }

    /// The same as a number.
    pub(crate) fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Of that number.
    pub(crate) fn of_number(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// Of a key as the database has it: the key itself or, written back after damage, its fingerprint.
    pub(crate) fn of_stored(key: &str) -> Self {
        key.strip_prefix(MARK)
            .filter(|digits| digits.len() == 32)
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map_or_else(|| Self::of(key), Self::of_number)
    }
}

/// As the database stores it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(MARK)?;
        write!(f, "{:032x}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Fingerprint;

    proptest! {
        #[test]
        fn stored_either_way_it_is_the_same(key in "[^#]?.*") {
            prop_assume!(!key.starts_with('#'));
            let fingerprint = Fingerprint::of(&key);
            prop_assert_eq!(Fingerprint::of_stored(&key), fingerprint);
            prop_assert_eq!(Fingerprint::of_stored(&fingerprint.to_string()), fingerprint);
        }
    }

    #[test]
    fn it_is_the_same_for_ever() {
        // SHA-256 of "abc", FIPS 180-2.
        assert_eq!(Fingerprint::of("abc").to_string(), "#ba7816bf8f01cfea414140de5dae2223");
    }
}
