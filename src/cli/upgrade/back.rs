//! The way back: the program from before is put back into its place, and whoever runs the new one runs it again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::process::{Asked, Hello, Who};
use super::rollout::{LOOK, Rollout, Turn};
use crate::os::fault;
use crate::wire::upgrade::{Build, Change, Ending, Progress};

/// Each process is back within this time, or does not come back.
const BACK: Duration = Duration::from_secs(20);
/// Whoever can still speak answers within this time. (The control plane gives each keeper half a second.)
const SHORT: Duration = Duration::from_secs(1);

impl Rollout<'_> {
    /// Goes back; returns how that ended, and the reasons.
    pub(super) async fn turn_back(&mut self, why: String) -> (Ending, Option<String>) {
        self.voice.say(&Progress::TurningBack { why: why.clone() });
        let stuck = |what: String| (Ending::Stuck, Some(format!("{why}; and {what}")));
        // What somebody else has put there meanwhile is kept, too.
        let refused = match self.place.restore(!self.given || !self.is_in_place()) {
            Ok(refused) => refused,
            Err(error) => {
                return stuck(format!("the program from before cannot be put back: {error}"));
            }
        };
        fault::point("an upgrade after the old file is back");
        let mut left = Vec::new();
        for who in self.processes().iter().rev() {
            left.extend(self.bring_back(who).await.err());
        }
        if !left.is_empty() {
            return stuck(left.join(", "));
        }
        let kept = refused.map(|path| format!("; the new program is kept as {}", path.display()));
        (Ending::RolledBack, Some(why + &kept.unwrap_or_default()))
    }

    /// Brings one process back. One that can still speak is asked, others are killed: their successors are started from
    /// the file that is back.
    async fn bring_back(&mut self, who: &Who) -> Result<(), String> {
        let paths = &self.here.paths;
        let turn = Turn { who, before: who.find(paths), from: self.to.clone(), begun: Instant::now() };
        if turn.before.as_ref().is_some_and(|seen| seen.program.id != self.target) {
            return Ok(()); // it has never become the new program
        }
        let mut asked_until = None;
        let mut waits_for = None;
        while turn.begun.elapsed() < if waits_for.is_some() { BACK + self.wait } else { BACK } {
            match who.find(paths) {
                Some(seen) if seen.program.id != self.target => {
                    if let Some(Hello { version, .. }) = who.hello(paths, SHORT).await {
                        let to = Build { version, build: self.build_of(&seen) };
                        self.tell(turn.step(Some(&seen), to, Change::Back, None));
                        return Ok(());
                    }
                }
                Some(_) if asked_until.is_none() && who.hello(paths, SHORT).await.is_some() => {
                    // The program from before may be one that knows nothing of two runs: killed, it would leave them
                    // to nobody.
                    waits_for = match who.ask(paths, &self.place.program).await {
                        Asked::Later(why) => Some(why),
                        Asked::Taken | Asked::Refused(_) | Asked::Silent => {
                            asked_until = Some(Instant::now() + who.patience());
                            None
                        }
                    };
                    sleep(10 * LOOK).await;
                }
                Some(seen) if asked_until.is_none_or(|until| until <= Instant::now()) => seen.kill(),
                Some(_) => {} // it was asked a moment ago
                None if who.is_retired(paths) => return Ok(()),
                None => {} // its successor is being started
            }
            sleep(LOOK).await;
        }
        Err(match waits_for {
            Some(why) => format!("the {who} does not come back yet: {why}"),
            None => format!("the {who} does not come back within {} s", BACK.as_secs()),
        })
    }
}
