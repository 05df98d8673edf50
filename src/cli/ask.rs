//! The services, from whoever can tell: the control plane, else the keepers.

use std::sync::Once;

use super::client::{CallError, Client, block_on};
use super::direct;
use super::fail::{Failure, Outcome};
use super::here::Here;
use super::screen::tell;
use crate::model::name::ServiceName;
use crate::paths::Paths;
use crate::wire::api::Services;
use crate::wire::status::ServiceStatus;

/// What is said on stderr when the keepers are asked.
const ABSENT: &str = "the control plane is not running";
/// The word for all services.
const ALL: &str = "all";

/// All services.
///
/// # Errors
/// Nothing runs here; the control plane refuses.
pub async fn services(paths: &Paths) -> Outcome<Services> {
    match Client::new(paths.control_sock()).get("/v1/services").await {
        Ok(services) => Ok(services),
        Err(error) => {
            let why = reason_to_go_on(error)?;
            let services = direct::services(paths)?;
            say_that_keepers_are_asked(&why);
            Ok(services)
        }
    }
}

/// The same, for commands without a runtime of their own.
///
/// # Errors
/// As [`services`].
pub fn services_now(here: &Here) -> Outcome<Services> {
    block_on(services(&here.paths))?
}

/// Says why the keepers are asked, once for a whole command.
pub fn say_that_keepers_are_asked(why: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tell(format_args!("{why}: asked the keepers directly")));
}

/// Why the keepers are asked instead; an error if the control plane answered, but with a refusal.
///
/// # Errors
/// The refusal.
pub fn reason_to_go_on(error: CallError) -> Outcome<String> {
    match error {
        CallError::Absent => Ok(ABSENT.to_owned()),
        CallError::Silent(why) => Ok(format!("the control plane does not answer ({why})")),
        refused @ CallError::Refused(..) => Err(refused.into_failure()),
    }
}

/// The services that the words mean: names, or `all`; no words mean all.
///
/// # Errors
/// A name that there is not, with the ones that there are.
pub fn select<'a>(services: &'a [ServiceStatus], words: &[String]) -> Outcome<Vec<&'a ServiceStatus>> {
    let mut chosen: Vec<&ServiceStatus> = Vec::new();
    // A name beside `all` adds nothing, but one that there is not is a mistake all the same.
    for word in words.iter().filter(|word| *word != ALL) {
        let found = services.iter().find(|service| service.name.as_str() == word);
        let Some(service) = found else {
            let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
            return Err(Failure::unknown(word, &names));
        };
        if !chosen.iter().any(|other| other.name == service.name) {
            chosen.push(service);
        }
    }
    Ok(if means_all(words) { services.iter().collect() } else { chosen })
}

/// Whether the words mean all services, whatever else they name.
pub fn means_all(words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| word == ALL)
}

/// The words as names, `all` left out.
///
/// # Errors
/// A word that no service can have as its name.
pub fn names(words: &[String]) -> Outcome<Vec<ServiceName>> {
    let words = words.iter().filter(|word| *word != ALL);
    words.map(|word| ServiceName::new(word).map_err(|_| Failure::unknown(word, &[]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::phase::State;
    use crate::wire::status::tests::status;

    #[test]
    fn names_all_and_nothing() {
        let mut services = [status(State::Online, 1, None), status(State::Online, 1, None)];
        services[1].name = ServiceName::new("worker").unwrap();
        let count = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            select(&services, &words).map(|chosen| chosen.len())
        };
        assert_eq!((count(&[]), count(&["all"]), count(&["web", "web"])), (Ok(2), Ok(2), Ok(1)));
        assert_eq!(count(&["web", "all"]), Ok(2));
        for words in [&["wbe"][..], &["all", "wbe"], &["wbe", "all"], &["web", "wbe"]] {
            let failure = count(words).unwrap_err();
            let expected = "there is no service wbe\n  did you mean web? services: web, worker";
            assert_eq!(failure.to_string(), expected, "{words:?}");
        }
    }
}
