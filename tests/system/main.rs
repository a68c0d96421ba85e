//! The tutorials and the faults, on real installations. Run by `cargo xtask test`.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod bad_input;
mod clients;
mod ending;
mod explain;
mod faults;
mod golden;
mod life;
mod process;
mod proxy;
mod stock_envoy;
mod tutorial_003;
mod tutorial_004;
