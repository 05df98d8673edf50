//! The signature of a request: HMAC-SHA256 over the very bytes that were received.
//!
//! The platform escapes what is not ASCII, so a body that was parsed and written again has another one.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that carries it.
pub const HEADER: &str = "x-hub-signature-256";

const PREFIX: &str = "sha256=";
const BYTES: usize = 32;

/// The value of the header for this body.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut value = PREFIX.to_owned();
    for byte in mac(secret, body).finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(value, "{byte:02x}");
    }
    value
}

/// Is `value` the signature of this body? Takes the same time wherever it differs.
#[must_use]
pub fn is_valid(value: &[u8], secret: &str, body: &[u8]) -> bool {
    decode(value).is_some_and(|given| mac(secret, body).verify_slice(&given).is_ok())
}

fn mac(secret: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

fn decode(value: &[u8]) -> Option<[u8; BYTES]> {
    let digits = value.strip_prefix(PREFIX.as_bytes())?;
    if digits.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{is_valid, sign};

    #[test]
    fn known_value() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign("Jefe", b"what do ya want for nothing?"), expected);
        assert!(is_valid(expected.as_bytes(), "Jefe", b"what do ya want for nothing?"));
        assert!(is_valid(
            expected.to_uppercase().replace("SHA256", "sha256").as_bytes(),
            "Jefe",
            b"what do ya want for nothing?"
        ));
    }

    #[test]
    fn everything_else_is_invalid() {
        let good = sign("secret", b"body");
        let other = sign("other", b"body");
        let sha1 = good.replace("sha256=", "sha1=");
        let short = &good[..good.len() - 2];
        let not_hex = good[..good.len() - 1].to_owned() + "g";
        for wrong in ["", "sha256=", other.as_str(), &sha1, short, &not_hex, &good[7..]] {
            assert!(!is_valid(wrong.as_bytes(), "secret", b"body"), "{wrong}");
        }
        assert!(!is_valid(good.as_bytes(), "secret", b"body "));
    }
}
