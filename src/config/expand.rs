//! `${NAME}`, `${NAME:-default}` and `$$` in a text.

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// The variable is not set and has no default.
    Unset(String),
    /// Something else; the text to underline, why, and what to write instead.
    Malformed {
        /// As it stands in the text.
        part: String,
        /// Why it cannot be expanded.
        why: String,
        /// What would be right.
        help: String,
    },
}

/// Defaults within defaults end here.
const DEEPEST: u32 = 8;

/// Replaces every `${NAME}` in `text` by what `lookup` knows, and `$$` by `$`. As in a shell, the default of
/// `${NAME:-default}` stands in for a variable that is not set or empty; it is expanded itself.
pub(super) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut result = String::with_capacity(text.len());
    expand_into(text, lookup, &mut result, 0)?;
    Ok(result)
}

fn expand_into(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    result: &mut String,
    depth: u32,
) -> Result<(), ExpandError> {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = closing(after) else {
                return Err(malformed("${".to_owned(), "`${` is never closed", "add a }"));
            };
            reference(&after[..end], lookup, result, depth)?;
            rest = &after[end + 1..];
        } else {
            let name: String = rest.chars().take_while(|c| is_name_char(*c)).collect();
            if name.starts_with(|c: char| !c.is_ascii_digit()) {
                let why = format!("`${name}` is not expanded");
                let help = format!("write ${{{name}}}, or $${name} for the text itself");
                return Err(malformed(format!("${name}"), why, help));
            }
            result.push('$');
        }
    }
    result.push_str(rest);
    Ok(())
}

/// Expands what stands between the braces.
fn reference(
    inner: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    result: &mut String,
    depth: u32,
) -> Result<(), ExpandError> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let good =
        !name.is_empty() && name.chars().all(is_name_char) && !name.starts_with(|c: char| c.is_ascii_digit());
    if !good {
        let part = format!("${{{inner}}}");
        let why = format!("`{}` is not understood", part.escape_debug());
        return Err(malformed(part, why, "only ${NAME} and ${NAME:-default} are"));
    }
    match (lookup(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => result.push_str(&value),
        (None, None) => return Err(ExpandError::Unset(name.to_owned())),
        (None, Some(_)) if depth == DEEPEST => {
            let why = "too many defaults within defaults";
            return Err(malformed(format!("${{{name}"), why, "write it more simply"));
        }
        (None, Some(default)) => expand_into(default, lookup, result, depth + 1)?,
    }
    Ok(())
}

/// Where the brace that was opened just before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn malformed(part: String, why: impl Into<String>, help: impl Into<String>) -> ExpandError {
    ExpandError::Malformed { part, why: why.into(), help: help.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".into()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${A}".into()),
            _ => None,
        }
    }

    #[test]
    fn expands() {
        let table = [
            ("plain", "plain"),
            ("${A}", "1"),
            ("x${A}y${A}", "x1y1"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("costs 5$ or $5", "costs 5$ or $5"),
            ("${NO:-default}", "default"),
            ("${NO:-}", ""),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY}", ""),
            ("${NO:-${A}}", "1"),
            ("${NO:-a}b}", "ab}"),
            ("${NO:-${ALSO_NO:-x}y}", "xy"),
            ("${DOLLAR}", "${A}"),
            ("{A}", "{A}"),
            ("é${A}é", "é1é"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        assert_eq!(expand("${NO}", &lookup), Err(ExpandError::Unset("NO".into())));
        let deep = format!("{}x{}", "${NO:-".repeat(50), "}".repeat(50));
        let never_closed = "${NO:-".repeat(50);
        for bad in ["${", "${A", "${}", "${A-b}", "${A:?no}", "${1}", "$A", "$_x", &deep, &never_closed] {
            assert!(matches!(expand(bad, &lookup), Err(ExpandError::Malformed { .. })), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[$${}A:\\-Né ]{0,40}") {
            let _ = expand(&text, &lookup);
        }
    }
}
