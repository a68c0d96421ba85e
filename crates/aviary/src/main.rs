//! Canary releases on a service mesh: one binary.
//!
//! The only place that reads the command line and the environment, prints, and ends the process.
//! [`cli`] is what was typed, [`home`] where state lives; each command has its own module under
//! `command`.

mod allocator;
mod cli;
mod home;
mod output;
mod client;
mod supervise;
mod ports;
mod wire;
mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match command::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
