//! The project's own tasks: demo, test, tidy, bench.

mod bench;
mod demo;
mod layers;
mod run;
mod schema;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check what is needed, build for release, start everything with Bookinfo.
    Demo {
        /// Arguments of `aviary demo`, e.g. `--detach`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Everything that must hold before a change lands: format, layers, lints, tests, the tutorials.
    Test {
        /// Only the system tests whose name contains this.
        #[arg(long)]
        system: Option<String>,
    },
    /// Write the table of Envoy's messages that `aviary proxy --config` reads files by.
    Schema,
    /// Measure the proxy: beside others, by instructions, over a long time.
    #[command(subcommand)]
    Bench(bench::Task),
    /// Check layers, sizes and habits that the compiler does not know of.
    Tidy {
        /// Write the files that follow from others (`clippy.toml` of the pure crates).
        #[arg(long)]
        fix: bool,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo { args } => demo::run(&args),
        Task::Test { system } => test::run(system.as_deref()),
        Task::Schema => schema::run(),
        Task::Bench(task) => bench::run(&task),
        Task::Tidy { fix } => tidy::run(fix),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
