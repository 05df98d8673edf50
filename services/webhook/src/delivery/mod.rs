//! Delivering content: what happens after a trigger of someone who may ask for it.
//!
//! ```text
//! receive --offer--> desk: one sequence a recipient, 16 side by side, more wait in their order
//!                      \-- sequence: item after item
//!                            \-- attempt (graph) --outcome--> rule: done | try again in … | give up
//! ```
//! * Nothing here keeps a request waiting: an offer only starts a task.
//! * Memory is bounded by WHATSAPP_RECIPIENTS: whoever has a sequence running or waiting gets no second
//!   one, however many triggers come. Those are written to the database like all, and counted.
//! * A sequence is not resumed. Asked to end, the service lets a request that is under way finish, and
//!   says in its log what was not sent. After a kill the platform does not repeat the trigger, because it
//!   was answered, and a repeat would be known by its id: better a message missing than one sent twice.

mod desk;
mod rule;
mod sequence;
mod stats;

pub(crate) use desk::{Desk, Plan, Trigger};
pub(crate) use rule::Policy;
pub(crate) use sequence::LAST_REQUEST;
