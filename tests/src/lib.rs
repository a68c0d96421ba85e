//! What the system tests stand on: real installations, the real kubectl, the real curl, real load;
//! and proxies that run alone, between raw clients and servers that keep every byte.
//!
//! Nothing here imitates a part of the product. An [`Installation`] is a process tree started by
//! `aviary up --detach` in a folder of its own, and it is gone when the value is dropped; a
//! [`standalone::Proxy`] likewise.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

pub mod certificates;
pub mod frames;
mod installation;
mod load;
pub mod memory;
mod normal;
pub mod origin;
pub mod raw;
mod share;
pub mod standalone;
mod steady;

pub use installation::{Installation, Outcome, Page, are_programs_optimized, eventually, manifest};
pub use load::{Load, Report};
pub use normal::{normalize, shape};
pub use share::{Shares, assert_share};
pub use steady::Steady;
