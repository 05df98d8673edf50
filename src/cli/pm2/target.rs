//! Which services a word of the command line means.

use crate::logs::sieve::Pattern;
use crate::wire::status::ServiceStatus;

/// The positions of the services that `words` mean, each once, in the order of the words.
///
/// As in pm2, a word is `all`, a name or a namespace (here: a compartment), a number that is neither is
/// an id, and `/…/` means all whose name matches. Unlike pm2, which acts on the words before an unknown one, nothing is done if one is unknown.
///
/// # Errors
/// The first unknown word.
pub fn resolve(words: &[String], services: &[ServiceStatus]) -> Result<Vec<usize>, String> {
    let mut chosen: Vec<usize> = Vec::new();
    for word in words {
        let meant = meant(word, services);
        if meant.is_empty() && !(word == "all" && services.is_empty()) {
            return Err(word.clone());
        }
        chosen.extend(meant);
    }
    let mut seen = std::collections::BTreeSet::new();
    chosen.retain(|position| seen.insert(*position));
    Ok(chosen)
}

/// pm2's message about a word that means nothing.
pub fn unknown(word: &str) -> String {
    format!("Process or Namespace {} not found", word.escape_debug())
}

/// The regular expression that a word is, if it is one: `/…/`. No name has a slash, so neither has the pattern.
pub fn pattern(word: &str) -> Option<Result<Pattern, String>> {
    let text = word.strip_prefix('/')?.strip_suffix('/')?;
    (!text.is_empty() && !text.contains('/')).then(|| Pattern::new(text, false))
}

/// The positions of what one word means; none if it is unknown.
pub fn meant(word: &str, services: &[ServiceStatus]) -> Vec<usize> {
    if word == "all" {
        return (0..services.len()).collect();
    }
    let matching = |test: &dyn Fn(&ServiceStatus) -> bool| -> Vec<usize> {
        let all = services.iter().enumerate();
        all.filter(|(_, service)| test(service)).map(|(position, _)| position).collect()
    };
    if let Some(Ok(pattern)) = pattern(word) {
        return matching(&|service| pattern.matches(service.name.as_str().as_bytes()));
    }
    let named = matching(&|service| service.name.as_str() == word);
    if !named.is_empty() {
        return named;
    }
    let together = matching(&|service| service.compartment == word);
    if !together.is_empty() {
        return together;
    }
    let id = word.parse::<usize>().ok();
    id.filter(|id| *id < services.len()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pm2::fixture::services;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn names_ids_compartments_and_all() {
        let mut services = services();
        let table: [(&[&str], &[usize]); 9] = [
            (&["all"], &[0, 1, 2]),
            (&["webhook-button-handler"], &[0]),
            (&["2", "0"], &[2, 0]),
            (&["websocket-server", "2"], &[2]),
            (&["dashboard"], &[1, 2]),
            (&["dashboard", "all"], &[1, 2, 0]),
            (&["/-server$/"], &[1, 2]),
            (&["/^web/", "1"], &[0, 2, 1]),
            (&[], &[]),
        ];
        for (targets, expected) in table {
            assert_eq!(resolve(&words(targets), &services).as_deref(), Ok(expected), "{targets:?}");
        }
        // A name that is a number outranks the id.
        services[0].name = crate::model::name::ServiceName::new("1").unwrap();
        assert_eq!(resolve(&words(&["1"]), &services), Ok(vec![0]));
        assert_eq!(resolve(&words(&["all"]), &[]), Ok(vec![]));
    }

    #[test]
    fn one_unknown_word_refuses_all() {
        for unknown in ["nosuch", "3", "-1", "webhook", "", "/nosuch/", "/", "//", "/a/b/"] {
            assert_eq!(resolve(&words(&["0", unknown, "1"]), &services()), Err(unknown.to_owned()));
        }
    }
}
