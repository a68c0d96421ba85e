//! What is measured and told of traffic: Istio's metrics, its access log, trace headers.
//!
//! Nothing here has a clock, a socket or a file: callers say what happened and when, and get
//! text to serve or write.
//!
//! Read first: [`Recorder`], [`Totals`], [`access_log::Logs`], [`trace::prepare`].

pub mod labels;
pub mod flags;
pub mod histogram;
pub mod recorder;
pub mod totals;
pub mod access_log;
pub mod trace;
pub mod peer;

pub use flags::Flags;
pub use labels::{Protocol, Reporter, Security};
pub use recorder::{Labels, Recorder};
pub use totals::Totals;
