//! The platform's Graph API, as far as it is used: one kind of POST, and what its answers mean.

mod address;
mod answer;
mod client;

pub(crate) use address::Address;
pub(crate) use answer::Outcome;
pub(crate) use client::{Access, Client, bearer};
