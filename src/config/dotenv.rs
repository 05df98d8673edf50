//! The syntax of env_files, as dotenv tools share it.
//!
//! ```text
//! # a comment
//! NAME=value                 # a comment after a blank
//! export NAME = value
//! SINGLE='taken $literally'
//! DOUBLE="\n \t \" \\ \$ are escapes, and a value
//! may have several lines"
//! ```
//! Values are taken as they stand: no `${…}` is expanded in them, so that a password may contain a `$`.
//!
//! By hand rather than by the dotenvy crate, which replaces `$NAME` in values by what it finds in the
//! environment of the process. An error never repeats the line: it may be a secret.

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DotenvError {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub why: &'static str,
}

/// Reads all pairs, in the order of the file.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let before = &text[..text.len() - rest.len()];
        let fail = |why| DotenvError { line: 1 + before.matches('\n').count(), why };
        let (head, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let head = head.trim();
        if head.is_empty() || head.starts_with('#') {
            rest = after;
            continue;
        }
        let (name, value) = rest.split_once('=').ok_or_else(|| fail("has no `=`"))?;
        if name.trim_start().contains('\n') {
            return Err(fail("has no `=`"));
        }
        let name = name.trim();
        let name = match name.strip_prefix("export") {
            Some(exported) if exported.starts_with([' ', '\t']) => exported.trim_start(),
            _ => name,
        };
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fail("has something else than a name before its `=`"));
        }
        let (value, after) = value_of(value).map_err(fail)?;
        if value.contains('\0') {
            return Err(fail("contains a NUL character"));
        }
        pairs.push((name.to_owned(), value));
        rest = after;
    }
    Ok(pairs)
}

/// The value at the beginning of `text`, and what comes after its line.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or("opens a ' that is never closed")?;
        return Ok((value.to_owned(), end_of_line(after)?));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = double_quoted(quoted)?;
        return Ok((value, end_of_line(after)?));
    }
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let comment =
        line.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
    let value = comment.map_or(line, |(at, _)| &line[..at]);
    Ok((value.trim().to_owned(), after))
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\' | '$' | '\''))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err("opens a \" that is never closed")
}

/// After a closing quote only a comment may follow.
fn end_of_line(text: &str) -> Result<&str, &'static str> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim();
    match line.is_empty() || line.starts_with('#') {
        true => Ok(after),
        false => Err("goes on after the closing quote"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let text = "\u{feff}# comment\n\nA=1\n  export B = two words  # comment\r\nC='single $A # x'\n\
                    D=\"a\\n\\\"b\\\" \\$x \\w\" # c\nE=\nF=a#b\nG=\"two\nlines\"\nH='x'\nA.b-c=1=2\nI=$x${y}\nexportJ=1\nK=# c\nL=end";
        let pairs = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "single $A # x"),
            ("D", "a\n\"b\" $x \\w"),
            ("E", ""),
            ("F", "a#b"),
            ("G", "two\nlines"),
            ("H", "x"),
            ("A.b-c", "1=2"),
            ("I", "$x${y}"),
            ("exportJ", "1"),
            ("K", ""),
            ("L", "end"),
        ];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn refuses_by_line() {
        let table = [
            ("A=1\nnonsense\nB=2", 2, "has no `=`"),
            ("A=1\n\n\nnonsense", 4, "has no `=`"),
            ("=x", 1, "has something else than a name before its `=`"),
            ("a b=x", 1, "has something else than a name before its `=`"),
            ("1A=x", 1, "has something else than a name before its `=`"),
            ("A='x", 1, "opens a ' that is never closed"),
            ("A=\"x\\\"", 1, "opens a \" that is never closed"),
            ("A=\"a\nb\"\nB='x' y", 3, "goes on after the closing quote"),
            ("A=\0", 1, "contains a NUL character"),
        ];
        for (text, line, why) in table {
            assert_eq!(parse(text), Err(DotenvError { line, why }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[A=\"'\\\\\n\r# $é\0]{0,40}") {
            let _ = parse(&text);
        }
    }
}
