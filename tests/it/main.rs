//! dogwatch from outside: the real binary, real processes, real files, real signals.

mod harness;

mod chaos;
mod keeper;
