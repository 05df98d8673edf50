//! The machine against a small simulated world.

mod laws;
mod lives;
mod replacements;
mod world;
