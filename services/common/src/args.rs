//! The few words a service takes on its command line; all else comes from the environment.

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Serve, with these of the known flags given.
    Serve(Vec<&'static str>),
    /// Print the help and end.
    Help,
    /// Print name and version and end.
    Version,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// One sentence that names the word nobody knows.
pub fn parse(arguments: impl IntoIterator<Item = String>, flags: &[&'static str]) -> Result<Wish, String> {
    let mut given = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "-h" | "--help" => return Ok(Wish::Help),
            "-V" | "--version" => return Ok(Wish::Version),
            other => match flags.iter().find(|flag| **flag == other) {
                Some(flag) => given.push(*flag),
                None => return Err(format!("unknown argument `{other}`; --help shows what there is")),
            },
        }
    }
    Ok(Wish::Serve(given))
}

#[cfg(test)]
mod tests {
    use super::{Wish, parse};

    #[test]
    fn knows_its_words_only() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(parse(words(&[]), &["--a"]), Ok(Wish::Serve(vec![])));
        assert_eq!(parse(words(&["--a"]), &["--a"]), Ok(Wish::Serve(vec!["--a"])));
        assert_eq!(parse(words(&["--a", "-h"]), &["--a"]), Ok(Wish::Help));
        assert!(parse(words(&["--b"]), &["--a"]).is_err());
    }
}
