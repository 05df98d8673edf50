//! How orphans ended, until somebody asks.

use std::collections::VecDeque;

use crate::model::name::ServiceName;

/// More than this many unasked-for endings are forgotten, oldest first: they are of processes that services
/// left behind, and nobody will ask.
const MOST: usize = 256;

/// Endings without a question, and questions without an ending.
#[derive(Debug, Default)]
pub struct Orphans {
    ended: VecDeque<(i32, i32)>,
    asked: Vec<(i32, ServiceName)>,
}

impl Orphans {
    /// What is known, for the program that this process is about to become: `PID=STATUS`, with commas.
    pub fn memo(&self) -> String {
        let each: Vec<String> = self.ended.iter().map(|(pid, status)| format!("{pid}={status}")).collect();
        each.join(",")
    }

    /// What the program knew that this process was before. Who has asked asks again.
    pub fn from_memo(memo: &str) -> Orphans {
        let pair = |word: &str| {
            let (pid, status) = word.split_once('=')?;
            Some((pid.parse().ok()?, status.parse().ok()?))
        };
        Orphans { ended: memo.split(',').filter_map(pair).collect(), asked: Vec::new() }
    }

    /// An orphan has ended. Returns who has asked about it.
    pub fn ended(&mut self, pid: i32, status: i32) -> Option<ServiceName> {
        if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == pid) {
            return Some(self.asked.swap_remove(at).1);
        }
        self.ended.retain(|(other, _)| *other != pid); // the number was used again
        if self.ended.len() == MOST {
            self.ended.pop_front();
        }
        self.ended.push_back((pid, status));
        None
    }

    /// Somebody asks. Returns the status if it is known; else the question is kept.
    pub fn ask(&mut self, pid: i32, asker: ServiceName) -> Option<i32> {
        if let Some(at) = self.ended.iter().position(|(ended, _)| *ended == pid) {
            return self.ended.remove(at).map(|(_, status)| status);
        }
        self.asked.retain(|(other, _)| *other != pid);
        if self.asked.len() < MOST {
            self.asked.push((pid, asker));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_outlives_the_program() {
        let mut orphans = Orphans::default();
        let web = || ServiceName::new("web").unwrap();
        assert_eq!((orphans.ended(7, 256), orphans.ended(8, 9)), (None, None));
        let mut heir = Orphans::from_memo(&orphans.memo());
        assert_eq!((heir.ask(8, web()), heir.ask(7, web()), heir.ask(7, web())), (Some(9), Some(256), None));
        assert_eq!(Orphans::from_memo("").ask(7, web()), None);
    }

    #[test]
    fn question_and_ending_meet_in_either_order() {
        let mut orphans = Orphans::default();
        let web = || ServiceName::new("web").unwrap();
        assert_eq!(orphans.ended(7, 256), None);
        assert_eq!(orphans.ask(7, web()), Some(256));
        assert_eq!(orphans.ask(8, web()), None);
        assert_eq!(orphans.ended(8, 9), Some(web()));
        for pid in 0..1000 {
            assert_eq!(orphans.ended(pid, 0), None);
        }
        assert_eq!(orphans.ask(0, web()), None, "long forgotten");
        assert_eq!(orphans.ask(999, web()), Some(0));
    }
}
