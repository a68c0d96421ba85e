//! The tutorials and the faults, on real installations. Run by `cargo xtask test`.

mod bad_input;
mod faults;
mod golden;
mod life;
mod stock_envoy;
mod tutorial_003;
mod tutorial_004;
