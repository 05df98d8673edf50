//! Watches what the living runs use of memory, and how it grows.

use std::time::Duration;

use super::child::Child;
use super::event_loop::Keeper;
use super::meter::next_look;
use crate::model::machine::Event;
use crate::model::memory::{Growth, Over, has_room};
use crate::model::moment::Moment;
use crate::os::{clock, memory, tree};

/// Between two looks at processes that share memory, when they are over the limit: what is shared takes milliseconds
/// to find out.
const COSTLY: Duration = Duration::from_millis(100);

impl Keeper {
    /// Begins to watch the memory of the living runs, if there is a limit.
    pub(super) fn watch_memory(&mut self) {
        let watched = self.spec.memory.is_some() && !self.children.is_empty();
        self.look_at_memory = watched.then(clock::mono);
    }

    /// Looks at each living run, and says when to look again.
    pub(super) fn check_memory(&mut self, now: Moment) {
        self.look_at_memory = None;
        let Some(limits) = self.spec.memory else { return };
        let mut next: Option<Duration> = None;
        for run in self.living() {
            let Some(child) = self.children.iter_mut().find(|child| child.run.number == run) else {
                continue;
            };
            if child.polled().is_none() {
                continue;
            }
            let members = child.members();
            let resident = tree::resident(&members);
            child.trend.add(resident, now);
            let forked = resident > limits.limit && members.len() > 1;
            // Forked workers share pages, which count for each.
            let used = if forked { tree::proportional(&members) } else { resident };
            let crossed = child.line.look(used, limits.limit);
            let look = next_look(used, if crossed.is_some() { limits.max } else { limits.limit });
            let look = if forked { look.max(COSTLY) } else { look };
            next = Some(next.map_or(look, |next| next.min(look)));
            if let Some(crossed) = crossed {
                self.over_memory(run, used, crossed);
            }
        }
        self.look_at_memory = next.map(|next| now.plus(next));
    }

    /// Tells the machine that a run is over its limit.
    fn over_memory(&mut self, run: u64, used: u64, crossed: bool) {
        let (Some(limits), Some(child)) = (self.spec.memory, self.child(run)) else { return };
        let after = clock::mono().since(child.run.started);
        let over = Over { used, limit: limits.limit, after, rise: child.trend.rise(), grew_on: false };
        let growth = Growth { crossed, over_max: used > limits.max };
        let room = !self.spec.listen.is_empty() && has_room(used, &available(child));
        if crossed {
            self.log(&format!("run {run}: {over}"));
        }
        self.tell(Event::OverMemory { run, over, growth, room });
    }
}

/// What the machine has left, and, where it has a wall, the compartment: `svc/COMPARTMENT/SERVICE/RUN`.
fn available(child: &Child) -> Vec<Option<u64>> {
    let compartment = child.cgroup.as_ref().and_then(|cgroup| cgroup.path().parent()?.parent());
    let left = compartment.and_then(memory::left_in);
    std::iter::once(memory::available()).chain(left.map(Some)).collect()
}
