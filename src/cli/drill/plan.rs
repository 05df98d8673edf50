//! Which faults are done, and in which order: pure.

use super::fault::{ALL, Fault, Own};
use crate::cli::fail::{Failure, Outcome};
use crate::exit_code;
use crate::wire::names;

/// Where a drill takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A dogwatch of its own, made for the drill.
    Scratch,
    /// The dogwatch that runs the machine's services; with neighbours only if the operator wants them.
    Live {
        /// Throw-away services may be started beside the real ones.
        neighbours: bool,
    },
}

/// The faults for a place, or those that were named, in the order in which they are done.
///
/// # Errors
/// A name that there is not.
pub fn faults(place: Place, only: &[String]) -> Outcome<Vec<Fault>> {
    if let Some(unknown) = only.iter().find(|name| Fault::parse(name).is_none()) {
        let all: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
        let failure = Failure::new(exit_code::USAGE, format!("there is no fault {unknown}"));
        return Err(failure.hint(names::suggest_among("faults", unknown, &all)));
    }
    let wanted = |fault: Fault, name: &str| match (only.is_empty(), place) {
        (false, _) => only.iter().any(|other| other == name),
        (true, Place::Scratch) => true,
        (true, Place::Live { neighbours }) => fault.is_own() || neighbours && !fault.needs_scratch(),
    };
    Ok(ALL.into_iter().filter(|(fault, name)| wanted(*fault, name)).map(|(fault, _)| fault).collect())
}

/// In how many seconds a process that stands still is usually replaced. That a control plane does is found out last:
/// it is the one that looks at the others.
fn usually_held(own: Own) -> u32 {
    match own {
        Own::Control => 11,
        Own::Warden | Own::Keeper | Own::OtherKeeper => 6,
    }
}

/// How long they usually take together, seconds, if each is watched for `seconds`; the first row is the time before
/// any.
pub fn seconds_in_all(faults: &[Fault], seconds: u32) -> u32 {
    let each = |fault: &Fault| match fault {
        Fault::Stop(own) => usually_held(*own).max(seconds),
        Fault::None | Fault::Kill(_) | Fault::Neighbour(_) => seconds,
    };
    seconds + faults.iter().map(each).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drill::fault::Misdeed;

    #[test]
    fn neighbours_come_to_a_live_system_only_when_they_are_wanted() {
        let count = |place, only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            faults(place, &only).map(|faults| faults.len())
        };
        let live = |neighbours| Place::Live { neighbours };
        assert_eq!(count(Place::Scratch, &[]), Ok(ALL.len()));
        assert_eq!(count(live(true), &[]), Ok(ALL.len() - 1), "no file system is mounted on a live system");
        assert_eq!(count(live(false), &[]), Ok(8));
        assert_eq!(count(live(false), &["leak"]), Ok(1), "it was named");
    }

    #[test]
    fn what_stands_still_takes_longer() {
        let faults = [Fault::Kill(Own::Warden), Fault::Stop(Own::Warden), Fault::Stop(Own::Control)];
        assert_eq!(seconds_in_all(&faults, 10), 10 + 10 + 10 + 11);
    }

    #[test]
    fn the_order_is_the_drills_and_a_wrong_name_is_told() {
        let only = ["flood".to_owned(), "kill-warden".to_owned()];
        assert_eq!(
            faults(Place::Scratch, &only),
            Ok(vec![Fault::Kill(Own::Warden), Fault::Neighbour(Misdeed::Flood)])
        );
        let failure = faults(Place::Scratch, &["kill-wardne".to_owned()]).unwrap_err();
        assert_eq!(failure.code, exit_code::USAGE);
        assert!(failure.to_string().contains("did you mean kill-warden?"), "{failure}");
    }
}
