//! Which problems somebody is told of, and when: neither of every flicker, nor of the same one again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::moment::Moment;

/// A problem that is over sooner is nobody's business.
const STANDS: Duration = Duration::from_secs(2);
/// One that comes back within this time has never been away: what crashes again and again lives for a while between.
const AWAY: Duration = Duration::from_secs(60);

/// The problems that are there, or were a moment ago, by their topics.
#[derive(Debug, Default)]
pub struct Alerts(BTreeMap<String, Known>);

#[derive(Debug)]
struct Known {
    /// As it was said last.
    text: String,
    since: Moment,
    /// Somebody has been told of it.
    told: bool,
    gone: Option<Moment>,
}

/// What somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What the problem is about: the same at its end as at its beginning.
    pub topic: String,
    /// The problem, in a sentence.
    pub text: String,
    /// It is over.
    pub over: bool,
}

impl Alerts {
    /// Looks at the problems that there are `now`, by their topics. Sentences may change while a problem stands: it stays the
    /// same one.
    pub fn look(&mut self, problems: BTreeMap<String, String>, now: Moment) -> Vec<Alert> {
        for (topic, known) in &mut self.0 {
            if !problems.contains_key(topic) {
                known.gone.get_or_insert(now);
            }
        }
        for (topic, text) in problems {
            let new = Known { text: String::new(), since: now, told: false, gone: None };
            let known = self.0.entry(topic).or_insert(new);
            (known.text, known.gone) = (text, None);
        }
        let mut alerts = Vec::new();
        self.0.retain(|topic, known| {
            let over = known.gone.is_some_and(|gone| !known.told || now.since(gone) >= AWAY);
            let begins = known.gone.is_none() && !known.told && now.since(known.since) >= STANDS;
            if begins || over && known.told {
                alerts.push(Alert { topic: topic.clone(), text: known.text.clone(), over });
            }
            known.told |= begins;
            !over
        });
        alerts
    }

    /// When to look again, even if nothing happens.
    pub fn wakes_at(&self) -> Option<Moment> {
        let each = self.0.values().filter_map(|known| match known.gone {
            Some(gone) => Some(gone.plus(AWAY)),
            None => (!known.told).then(|| known.since.plus(STANDS)),
        });
        each.min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    fn problem(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("web log".to_owned(), text.to_owned())])
    }

    #[test]
    fn told_once_when_it_stands_and_once_when_it_is_over() {
        let mut alerts = Alerts::default();
        let none = BTreeMap::new;
        let alert =
            |text: &str, over| vec![Alert { topic: "web log".to_owned(), text: text.to_owned(), over }];
        assert_eq!(alerts.look(problem("full"), at(1)), []);
        assert_eq!(alerts.wakes_at(), Some(at(3)));
        assert_eq!(alerts.look(problem("full, 1 line"), at(3)), alert("full, 1 line", false));
        assert_eq!(alerts.look(problem("full, 9 lines"), at(9)), []);
        assert_eq!(alerts.wakes_at(), None);
        assert_eq!(alerts.look(none(), at(10)), []);
        assert_eq!(alerts.look(problem("full, 10 lines"), at(20)), [], "it has only been away");
        assert_eq!(alerts.look(none(), at(30)), []);
        assert_eq!(alerts.wakes_at(), Some(at(90)));
        assert_eq!(alerts.look(none(), at(90)), alert("full, 10 lines", true));
        assert_eq!((alerts.look(none(), at(91)), alerts.wakes_at()), (vec![], None));
    }

    #[test]
    fn nobody_is_told_of_a_flicker() {
        let mut alerts = Alerts::default();
        for second in 0..100 {
            let problems = if second % 2 == 0 { problem("full") } else { BTreeMap::new() };
            assert_eq!(alerts.look(problems, at(second)), []);
        }
    }

    proptest! {
        /// Whatever comes and goes: of each topic beginning and end take turns, and who looks when he is told to learns of
        /// all that stays.
        #[test]
        fn beginnings_and_ends_take_turns(steps in prop::collection::vec((0_u64..50, 0_u8..8), 1..60)) {
            let mut alerts = Alerts::default();
            let mut told: BTreeMap<String, bool> = BTreeMap::new();
            let mut now = 0;
            let mut last = BTreeMap::new();
            let mut look = |alerts: &mut Alerts, problems: &BTreeMap<String, String>, now| {
                for alert in alerts.look(problems.clone(), now) {
                    let open = told.entry(alert.topic).or_default();
                    prop_assert_eq!(*open, alert.over);
                    *open = !alert.over;
                }
                Ok(told.clone())
            };
            for (pause, there) in steps {
                now += pause;
                let topics = (0..3).filter(|bit| there & (1 << bit) != 0);
                last = topics.map(|topic| (topic.to_string(), "it is so".to_owned())).collect();
                look(&mut alerts, &last, at(now))?;
            }
            let mut open = BTreeMap::new();
            while let Some(next) = alerts.wakes_at() {
                open = look(&mut alerts, &last, next)?;
            }
            open.extend(look(&mut alerts, &last, at(now + 1000))?);
            let open: Vec<&String> = open.iter().filter_map(|(topic, open)| open.then_some(topic)).collect();
            prop_assert_eq!(open, last.keys().collect::<Vec<_>>());
        }
    }
}
