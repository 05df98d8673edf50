//! The one binary of dogwatch.
fn main() {}
