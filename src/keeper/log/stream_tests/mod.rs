//! A stream with real FIFOs and files, turn by turn.

mod bench;
mod deaths;
mod dressed;
mod dropping;
mod moved;
mod rotation;
mod runs;
