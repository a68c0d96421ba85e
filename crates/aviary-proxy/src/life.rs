//! The proxy as a process: how it stays within its memory and descriptors, and how a newer one takes
//! its sockets over.

mod code;
pub(crate) mod gate;
pub(crate) mod hand_over;
pub(crate) mod pressure;
pub(crate) mod succession;
mod usage;

use std::sync::Arc;

pub(crate) use code::forget_start;
pub(crate) use gate::{Gate, Ticket};
pub(crate) use succession::Succession;
pub(crate) use usage::watch;

/// The limits of this process, after its descriptors were raised to what the system allows.
pub(crate) fn gate() -> Arc<Gate> {
    Gate::new(usage::raise_descriptors())
}
