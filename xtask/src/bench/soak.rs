//! Many connections and a configuration that changes every second, for a long time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::bench::compare::build_release;
use crate::bench::process::{Process, cpu, memory_kib};
use crate::bench::proxies;
use crate::bench::scenario;
use crate::bench::stage::{LOAD_CORE, Port, Stage, Tally};
use crate::run::{cargo, pass, program, say, step, target};

/// How long the proxy may take until it has its configuration and answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Memory may grow by so much after the first fifth of the run.
const GROWTH_MAX_MIB: f64 = 4.0;
/// How often memory is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Share of the seconds whose change the proxy must have acknowledged.
const CHANGES_MIN: f64 = 0.9;

/// How much and how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Length in minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Connections, all of which are used in turn.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Requests per second.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// Our program, instead of building it for release.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The first of about 20 ports on loopback.
    #[arg(long, default_value_t = 21_200)]
    base_port: u16,
}

/// Runs it, and fails when a request failed or memory grew.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut packages = vec!["bench-load"];
    if options.program.is_none() {
        packages.push("aviary");
    }
    build_release(&packages)?;
    step("build of the ADS server", || {
        program(&mut cargo(&[
            "build",
            "--locked",
            "--release",
            "-p",
            "aviary-xds",
            "--example",
            "ads_alternate",
        ]))
    })?;
    let release = target().join("release");
    let ours = options.program.clone();
    let ours = ours.unwrap_or_else(|| release.join("aviary"));
    let stage = Stage::set(&release.join("bench-load"), options.base_port)?;
    let ads = start_ads(&stage, &release.join("examples/ads_alternate"))?;
    let proxy = proxies::ours(&ours).start(&stage, &scenario::SOAK, &[], START_TIMEOUT)?;
    say(&format!(
        "{} connections, {} requests/s, a change every second, {} minutes",
        options.connections, options.rate, options.minutes
    ));
    let seen = load(&stage, options, &proxy)?;
    let changes = ads.acknowledged();
    say(&format!(
        "the proxy acknowledged {changes} configurations and used {:.1} µs of CPU per request",
        seen.cpu_us
    ));
    judge(options, &seen, changes)
}

/// What was seen.
#[derive(Debug)]
struct Seen {
    tally: Tally,
    memory_mib: Vec<f64>,
    cpu_us: f64,
}

/// The ADS server and what it says.
#[derive(Debug)]
struct Ads(Process);

impl Ads {
    fn acknowledged(&self) -> usize {
        let log = self.0.log();
        log.lines().filter(|line| *line == "acked").count()
    }
}

/// Starts the ADS server with the two configurations.
fn start_ads(stage: &Stage, server: &Path) -> Result<Ads> {
    let variables = stage.variables();
    let mut command = stage.on(LOAD_CORE);
    command
        .arg(server)
        .arg(stage.address(Port::Ads).port().to_string())
        .arg("1000");
    for template in ["soak-a.yaml", "soak-b.yaml"] {
        command.arg(stage.fill(template, &variables)?);
    }
    Ok(Ads(Process::start(
        &mut command,
        stage.folder.join("ads.log"),
    )?))
}

fn load(stage: &Stage, options: &Options, proxy: &[Process]) -> Result<Seen> {
    let mut command = stage.load_on(LOAD_CORE, "open");
    let seconds = options.minutes * 60.0;
    command
        .arg(stage.address(Port::Listen).to_string())
        .args(["--shape", "plain", "--progress", "30"])
        .args(["--connections", &options.connections.to_string()])
        .args(["--rate", &options.rate.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    let mut load = running(&mut command)?;
    let (start, before) = (Instant::now(), cpu(proxy).ns);
    let mut memory_mib = Vec::new();
    while load.try_wait()?.is_none() {
        pass(EVERY);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 KiB")]
        memory_mib.push(memory_kib(proxy) as f64 / 1024.0);
        if start.elapsed().as_secs_f64() > seconds + 60.0 {
            let _ = load.kill();
            bail!("the load did not end");
        }
    }
    let ns = cpu(proxy).ns - before;
    let output = load.wait_with_output()?;
    let tally: Tally = serde_json::from_slice(&output.stdout).context("the load's result")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let cpu_us = ns as f64 / 1000.0 / tally.requests.max(1) as f64;
    Ok(Seen {
        tally,
        memory_mib,
        cpu_us,
    })
}

fn running(command: &mut Command) -> Result<std::process::Child> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("cannot run the load tool")
}

/// The verdict.
fn judge(options: &Options, seen: &Seen, changes: usize) -> Result<()> {
    let Tally {
        requests,
        errors,
        p50_us,
        p99_us,
        ..
    } = seen.tally;
    // The first fifth is for connections and buffers to come.
    let settled = seen.memory_mib.len() / 5;
    let later = seen.memory_mib.get(settled..).unwrap_or_default();
    let first = later.first().copied().unwrap_or_default();
    let greatest = later.iter().copied().fold(first, f64::max);
    let series = seen.memory_mib.iter().map(|mib| format!("{mib:.1}"));
    say(&format!(
        "{requests} answered, {errors} failed; p50 {p50_us:.0} µs, p99 {p99_us:.0} µs\n\
         memory every {} s in MiB: {}",
        EVERY.as_secs(),
        series.collect::<Vec<_>>().join(" ")
    ));
    if errors > 0 {
        let error = seen.tally.error.as_deref().unwrap_or_default();
        bail!("{errors} requests failed: {error}");
    }
    if greatest > first + GROWTH_MAX_MIB {
        bail!("memory grew from {first:.1} to {greatest:.1} MiB");
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let share = changes as f64 / (options.minutes * 60.0);
    if share < CHANGES_MIN {
        bail!("only {changes} changes were acknowledged");
    }
    say("passed: no request failed and memory stayed flat");
    Ok(())
}
