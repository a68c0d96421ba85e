//! Both sides of an aggregated discovery stream as state machines without IO.
//!
//! Source: Envoy's xDS protocol, delta and state-of-the-world.

mod client;
mod server;

pub use client::{ClientSession, Judge};
pub use server::{Nack, Push, ServerSession};

#[cfg(test)]
mod tests;
