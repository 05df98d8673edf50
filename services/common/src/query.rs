//! The query of a URL, decoded to bytes.
//!
//! By hand, because a verification challenge must come back byte for byte, also where it is not UTF-8.

/// The name and value pairs in their order; `+` is a space, a broken `%` stands for itself.
#[must_use]
pub fn pairs(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = tail;
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
        rest = after;
    }
    bytes
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn decodes_names_and_values_to_bytes() {
        let found = pairs("hub%2Emode=a+b&x=%FF%2&y&&=z");
        let expected: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"hub.mode".into(), b"a b".into()),
            (b"x".into(), b"\xff%2".into()),
            (b"y".into(), b"".into()),
            (b"".into(), b"z".into()),
        ];
        assert_eq!(found, expected);
    }
}
