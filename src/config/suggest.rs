//! "did you mean": the nearest of the words that would have been right.

/// The candidate that `word` was probably meant to be: as few letters apart as a slip of the finger.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = match word.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        6..=9 => 3,
        _ => 4,
    };
    candidates
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        // A word of which nothing is left has not been misspelt: it is another one.
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `` did you mean `memory`? ``, or else all that would be right.
pub(super) fn did_you_mean(word: &str, what: &str, candidates: &[&str]) -> String {
    if let Some(nearest) = nearest(word, candidates.iter().copied()) {
        return format!("did you mean `{nearest}`?");
    }
    match candidates {
        [] => format!("there is no {what}"),
        [only] => format!("the only {what} is `{only}`"),
        many => format!("{what}s are {}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["memory", "command", "cwd", "env", "env_file", "after", "user"];
        let table = [
            ("memroy", Some("memory")),
            ("Command", Some("command")),
            ("comand", Some("command")),
            ("cmd", Some("cwd")),
            ("envfile", Some("env_file")),
            ("wibble", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, keys.into_iter()), expected, "{word}");
        }
    }
}
