//! Faults around a proxy that runs alone: endpoints that die, hang and misbehave, too many clients, too
//! much load, and routes that change all the while.

mod callers;
mod crowds;
mod edits;
mod endpoints;
mod memory;
mod overload;
mod server;
