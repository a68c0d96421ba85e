//! Load, upstreams and process placement for the benchmarks; `cargo xtask bench` runs it.
//!
//! One thread and level-triggered epoll everywhere, so that load and upstream share one core and
//! leave the other to the proxy under test.

mod poller;
mod frames;
mod request;
mod client;
mod drive;
mod bulk;
mod upstream;
mod place;
mod certificates;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::drive::Pace;
use crate::request::Shape;

/// Load, upstreams and process placement for the benchmarks.
#[derive(Debug, Parser)]
struct Program {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Answer fixed bytes: 1 KiB over HTTP/1.1, a gRPC-like message over HTTP/2, and a stream without end.
    Serve {
        /// Ports for HTTP/1.1.
        #[arg(long, value_delimiter = ',')]
        http1: Vec<u16>,
        /// Ports for HTTP/2 without TLS.
        #[arg(long, value_delimiter = ',')]
        http2: Vec<u16>,
        /// Ports that send bytes as fast as they are taken.
        #[arg(long, value_delimiter = ',')]
        source: Vec<u16>,
    },
    /// Each connection asks again as soon as it is answered.
    Closed {
        #[command(flatten)]
        target: Target,
        /// How long to ask.
        #[arg(long)]
        seconds: f64,
    },
    /// Requests leave at their times (Poisson), and are timed from when they should have left.
    Open {
        #[command(flatten)]
        target: Target,
        /// How long to ask.
        #[arg(long)]
        seconds: f64,
        /// Requests per second.
        #[arg(long)]
        rate: f64,
        /// Say how it goes every so many seconds.
        #[arg(long)]
        progress: Option<f64>,
    },
    /// One connection, one request after the other, as many as each line of standard input says.
    Count {
        #[command(flatten)]
        target: Target,
    },
    /// One request on each connection, which are then held until standard input ends.
    Hold {
        #[command(flatten)]
        target: Target,
    },
    /// Read from a stream without end.
    Sink {
        /// Where.
        address: SocketAddr,
        /// How many connections read.
        #[arg(long, default_value_t = 8)]
        connections: usize,
        /// How long.
        #[arg(long)]
        seconds: f64,
    },
    /// Run a program on one core; it is asked to end when the one who started this ends.
    On {
        /// The core.
        #[arg(long)]
        core: usize,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Write a certificate authority and a leaf for `bench.local` into a folder.
    Certificates {
        /// The folder; it must be there.
        folder: PathBuf,
    },
}

/// Whom to ask, what, and over how many connections.
#[derive(Debug, Args)]
struct Target {
    /// Where.
    address: SocketAddr,
    /// What the requests look like; `grpc` is HTTP/2, the others HTTP/1.1.
    #[arg(long, value_enum, default_value_t = Shape::Plain)]
    shape: Shape,
    /// How many connections.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How many requests at a time on each connection (HTTP/2).
    #[arg(long, default_value_t = 1)]
    streams: usize,
}

impl Target {
    fn connect(&self) -> Result<client::Clients> {
        let streams = if self.shape.is_http2() {
            self.streams
        } else {
            1
        };
        client::Clients::connect(self.address, self.shape, self.connections, streams)
    }
}

fn main() -> ExitCode {
    match run(Program::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    place::allow_all_descriptors()?;
    match task {
        Task::Serve {
            http1,
            http2,
            source,
        } => upstream::serve(&http1, &http2, &source),
        Task::Closed { target, seconds } => {
            let length = Duration::from_secs_f64(seconds);
            answer(&drive::run(target.connect()?, Pace::Closed, length, None)?)
        }
        Task::Open {
            target,
            seconds,
            rate,
            progress,
        } => {
            place::wake_on_time()?;
            let length = Duration::from_secs_f64(seconds);
            let every = progress.map(Duration::from_secs_f64);
            answer(&drive::run(
                target.connect()?,
                Pace::Open { rate },
                length,
                every,
            )?)
        }
        Task::Count { target } => drive::count(&mut target.connect()?),
        Task::Hold { target } => drive::hold(&mut target.connect()?),
        Task::Sink {
            address,
            connections,
            seconds,
        } => answer(&bulk::sink(
            address,
            connections,
            Duration::from_secs_f64(seconds),
        )?),
        Task::On { core, command } => place::run(core, &command),
        Task::Certificates { folder } => certificates::write(&folder),
    }
}

/// Gives a result to the caller as one line of JSON.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn answer(result: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}

/// Says a line to the person who waits.
#[expect(clippy::print_stderr, reason = "a program talks to people")]
fn say(text: &str) {
    eprintln!("{text}");
}
