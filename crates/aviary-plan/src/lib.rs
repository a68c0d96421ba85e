//! Controllers as planners: a view of the objects and a time go in, actions and waits come out.
//!
//! Nothing here reads a clock, draws randomness or does IO; the shell that feeds [`Cache`], runs
//! [`controller::plan`] and carries out each [`Action`] is the manager in `aviary-control`.
//! Read [`Plan`], [`Cache`] and [`controller::Key`] first.

pub mod kind;
pub mod plan;
pub mod object;
pub mod selector;
pub mod pod;
pub mod ownership;
pub mod hash;
pub mod cache;
pub mod controller;
pub mod deployment;
pub mod replica_set;
pub mod endpoint_slice;
pub mod endpoints;
pub mod schedule;
pub mod garbage;
pub mod namespace;
pub mod node_lifecycle;
pub mod event;
pub mod release;

#[cfg(test)]
mod sim;

pub use cache::Cache;
pub use controller::{Controller, Key};
pub use kind::Kind;
pub use plan::{Action, EventDraft, Plan, Propagation, Target, Wait};
