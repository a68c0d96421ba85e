//! What the system tests stand on: real installations, the real kubectl, the real curl, real load.
//!
//! Nothing here imitates a part of the product. An [`Installation`] is a process tree started by
//! `aviary up --detach` in a folder of its own, and it is gone when the value is dropped.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod installation;
mod load;
mod share;
mod normal;

pub use installation::{Installation, Outcome, Page, eventually, manifest};
pub use load::{Load, Report};
pub use normal::{normalize, shape};
pub use share::{Shares, assert_share};
