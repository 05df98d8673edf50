//! What to say about a name that there is not.

/// The service that was probably meant, and all that there are.
pub fn suggest(wrong: &str, names: &[&str]) -> String {
    match names {
        [] => "there is no service at all".to_owned(),
        names => suggest_among("services", wrong, names),
    }
}

/// The same among names of other things.
pub fn suggest_among(things: &str, wrong: &str, names: &[&str]) -> String {
    let list = format!("{things}: {}", names.join(", "));
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        // A name that begins like it may be much longer: "web" for "webhook-button-handler".
        .map(|(distance, name)| (if name.starts_with(wrong) { 0 } else { distance }, name))
        .filter(|(distance, _)| *distance <= 1 + wrong.chars().count() / 3)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, name)) => format!("did you mean {name}? {list}"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        let names = ["webhook", "dashboard"];
        assert_eq!(suggest("webhok", &names), "did you mean webhook? services: webhook, dashboard");
        assert_eq!(suggest("dash", &names), "did you mean dashboard? services: webhook, dashboard");
        assert_eq!(suggest("zzz", &names), "services: webhook, dashboard");
        assert_eq!(suggest("x", &[]), "there is no service at all");
    }
}
