//! `restart`: after which endings, how soon, and for how long.

use toml::Spanned;
use toml::de::DeValue;

use super::keys;
use super::mistake::{At, Kind};
use super::table::{Found, Value};
use crate::model::spec::{RestartPolicy, RestartWhen};

/// `restart = { policy, delay, max_delay, stable_after, give_up }`, and what in it gives the service up.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// The rule.
    pub policy: RestartPolicy,
    /// `give_up`, or `policy = "never"`; a critical service must not have it.
    pub gives_up: Option<Spanned<At>>,
}

/// Reads `restart`.
pub(super) fn read(value: &Value<'_>, found: &mut Found) -> Option<Restart> {
    const WORDS: [(&str, RestartWhen); 3] = [
        ("always", RestartWhen::Always),
        ("on-failure", RestartWhen::OnFailure),
        ("never", RestartWhen::Never),
    ];
    let table = value.table("a table", &example(value.value), &keys::RESTART, found)?;
    let mut policy = RestartPolicy::default();
    let when = table.get("policy");
    if let Some(word) = when.as_ref().and_then(|key| key.word(&WORDS.map(|(word, _)| word), found)) {
        policy.policy = WORDS[word].1;
    }
    let mut duration = |key| table.get(key).and_then(|key| key.duration(found));
    let (delay, cap, stable) = (duration("delay"), duration("max_delay"), duration("stable_after"));
    // A default must not contradict what somebody wrote.
    match (delay, &cap) {
        (Some(delay), _) => {
            policy.delay = delay.into_inner();
            policy.max_delay = policy.max_delay.max(policy.delay);
        }
        (None, Some(cap)) => policy.delay = policy.delay.min(*cap.get_ref()),
        (None, None) => {}
    }
    if let Some(cap) = cap {
        policy.max_delay = *cap.get_ref();
        if policy.max_delay < policy.delay {
            let at = At { key: "max_delay".to_owned(), place: table.place.clone() };
            found.note(cap.span(), Kind::DelayAboveCap { at });
        }
    }
    if let Some(stable) = stable {
        policy.stable_after = stable.into_inner();
    }
    let give_up = table.get("give_up");
    policy.give_up = give_up.as_ref().and_then(|key| {
        let most = key.count("write a number of failed starts, like 10", found)?;
        if most == 0 {
            let kind = Kind::OutOfRange {
                at: key.at.clone(),
                expected: "1 or more",
                help: "without it dogwatch never gives up",
            };
            found.note(key.span.clone(), kind);
        }
        Some(most)
    });
    let never = when.filter(|_| policy.policy == RestartWhen::Never);
    Some(Restart { policy, gives_up: give_up.or(never).map(|key| Spanned::new(key.span, key.at)) })
}

fn example(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(word) => format!("{{ policy = {:?} }}", word.as_ref()),
        DeValue::Boolean(false) => "{ policy = \"never\" }".to_owned(),
        _ => "{ policy = \"always\" }".to_owned(),
    }
}
