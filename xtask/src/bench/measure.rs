//! One sample: a proxy is started, loaded and looked at.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::process::{Core, Process, cpu, memory_kib};
use crate::bench::proxies::Proxy;
use crate::bench::scenario::{PLAIN, Requests, Scenario, Work};
use crate::bench::stage::{LOAD_CORE, PROXY_CORE, Port, Stage};
use crate::bench::statistics::{Figure, Figures};
use crate::run::pass;

/// How long a proxy may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Length of the load before anything is measured.
const WARM_UP_SECS: f64 = 1.0;
/// Time for a process to come to rest.
const REST: Duration = Duration::from_millis(400);
/// Services of the large configuration, and of the small one.
const SERVICES: [u32; 2] = [1, 1001];

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Of each measurement.
    pub(crate) seconds: f64,
    /// Requests per second of an open loop.
    pub(crate) rate: u32,
    /// Connections that are held for the memory.
    pub(crate) held: usize,
}

/// Measures one proxy in one scenario.
///
/// # Errors
/// It does not start, or answers wrongly; the text ends with what it said.
pub(crate) fn sample(
    stage: &Stage,
    proxy: &Proxy,
    scenario: &Scenario,
    effort: Effort,
) -> Result<Figures> {
    let done = match scenario.work {
        Work::Services => services(stage, proxy, scenario),
        _ => proxy
            .start(stage, scenario, &[], START_TIMEOUT)
            .and_then(|mut processes| {
                let figures = load(stage, scenario, effort, &processes);
                figures.map_err(|error| {
                    let words = processes
                        .iter_mut()
                        .map(|process| process.ended().unwrap_or_else(|| process.last_words()));
                    error.context(words.collect::<Vec<_>>().join(" "))
                })
            }),
    };
    stage.wait_for_ports();
    done
}

fn load(
    stage: &Stage,
    scenario: &Scenario,
    effort: Effort,
    processes: &[Process],
) -> Result<Figures> {
    let address = stage.address(Port::Listen);
    pass(REST);
    match scenario.work {
        Work::Closed(asked) => {
            stage.closed(address, asked, WARM_UP_SECS)?;
            metered(processes, || closed(stage, asked, effort.seconds))
        }
        Work::Bulk => {
            stage.sink(address, WARM_UP_SECS)?;
            metered(processes, || {
                let sunk = stage.sink(address, effort.seconds)?;
                #[expect(clippy::cast_precision_loss, reason = "a rate")]
                let gigabytes = sunk.bytes as f64 / 1e9;
                Ok((gigabytes * 1000.0, sunk.seconds, 0.0))
            })
            // Metered in thousandths of a GB: µs for each are ms for a GB.
            .map(|mut figures| {
                figures
                    .entry(Figure::Rate)
                    .and_modify(|rate| *rate /= 1000.0);
                figures
            })
        }
        Work::Open(asked) => {
            stage.closed(address, asked, WARM_UP_SECS)?;
            latency(stage, address, asked, effort)
        }
        Work::Memory => memory(stage, effort, processes),
        Work::Services => bail!("services are measured over several starts"),
    }
}

fn closed(stage: &Stage, asked: Requests, seconds: f64) -> Result<(f64, f64, f64)> {
    let tally = stage.closed(stage.address(Port::Listen), asked, seconds)?;
    if let Some(error) = tally.error {
        bail!("{} requests failed, the first with: {error}", tally.errors);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (requests, errors) = (tally.requests as f64, tally.errors as f64);
    Ok((requests, tally.seconds, errors))
}

/// CPU of the processes over a run that gives units, seconds and errors.
#[expect(clippy::cast_precision_loss, reason = "times far below 2^53 ns")]
fn metered(
    processes: &[Process],
    run: impl FnOnce() -> Result<(f64, f64, f64)>,
) -> Result<Figures> {
    let cores = || [Core::read(PROXY_CORE), Core::read(LOAD_CORE)];
    let (cpu_before, cores_before) = (cpu(processes), cores());
    let (units, seconds, errors) = run()?;
    let (cpu_after, cores_after) = (cpu(processes), cores());
    if units < 1.0 {
        bail!("nothing was answered");
    }
    let ns = (cpu_after.ns - cpu_before.ns) as f64;
    let user = (cpu_after.user_ticks - cpu_before.user_ticks) as f64;
    let system = (cpu_after.system_ticks - cpu_before.system_ticks) as f64;
    let mut stolen = 0.0;
    let mut busy = 0.0;
    for (before, after) in cores_before.iter().zip(&cores_after) {
        let all = (after.all - before.all).max(1) as f64;
        stolen += (after.stolen - before.stolen) as f64 / all / 2.0;
        // The last one is the load's.
        busy = (after.busy - before.busy) as f64 / all;
    }
    Ok(Figures::from([
        (Figure::Rate, units / seconds),
        (Figure::Cpu, ns / 1000.0 / units),
        (Figure::UserShare, user / (user + system).max(1.0)),
        (Figure::ProxyBusy, ns / 1e9 / seconds),
        (Figure::LoadBusy, busy),
        (Figure::Stolen, stolen),
        (Figure::Errors, errors),
    ]))
}

/// Latency of an open loop against `address`.
///
/// # Errors
/// A request failed.
pub(crate) fn latency(
    stage: &Stage,
    address: std::net::SocketAddr,
    asked: Requests,
    effort: Effort,
) -> Result<Figures> {
    let tally = stage.open(address, asked, effort.rate, effort.seconds)?;
    if let Some(error) = tally.error {
        bail!("{} requests failed, the first with: {error}", tally.errors);
    }
    Ok(Figures::from([
        (Figure::P50Us, tally.p50_us),
        (Figure::P99Us, tally.p99_us),
        (Figure::P999Us, tally.p999_us),
        (Figure::Errors, 0.0),
    ]))
}

/// Idle, per held connection, and after load while they are held.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53 KiB")]
fn memory(stage: &Stage, effort: Effort, processes: &[Process]) -> Result<Figures> {
    let address = stage.address(Port::Listen);
    let kib = || memory_kib(processes) as f64;
    let idle = kib();
    let asked = Requests {
        connections: effort.held,
        ..PLAIN
    };
    let mut held = stage.start("hold", address, asked)?;
    held.done().context("held connections")?;
    pass(REST);
    let with_connections = kib();
    closed(stage, PLAIN, effort.seconds)?;
    pass(REST);
    Ok(Figures::from([
        (Figure::IdleMib, idle / 1024.0),
        (
            Figure::KibPerConnection,
            (with_connections - idle) / effort.held as f64,
        ),
        (Figure::LoadedMib, kib() / 1024.0),
        (Figure::Errors, 0.0),
    ]))
}

/// Growth from a configuration with one service to one with many.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53 KiB")]
fn services(stage: &Stage, proxy: &Proxy, scenario: &Scenario) -> Result<Figures> {
    let mut sizes = Vec::new();
    for number in SERVICES {
        stage.set_services(virtual_hosts(number), clusters(number, stage));
        let processes = proxy.start(stage, scenario, &[], START_TIMEOUT)?;
        pass(REST);
        sizes.push(memory_kib(&processes) as f64);
        drop(processes);
        stage.wait_for_ports();
    }
    let (Some(small), Some(large)) = (sizes.first(), sizes.last()) else {
        bail!("nothing was measured");
    };
    let more = f64::from(SERVICES[1] - SERVICES[0]);
    Ok(Figures::from([(
        Figure::KibPerService,
        (large - small) / more,
    )]))
}

fn virtual_hosts(number: u32) -> String {
    let mut text = String::new();
    for n in 0..number {
        let _ = writeln!(
            text,
            "            - {{name: s{n}, domains: [\"s{n}.default.svc.cluster.local\", \"s{n}.default\"], \
             routes: [{{match: {{prefix: \"/\"}}, route: {{cluster: s{n}, timeout: 15s}}}}]}}"
        );
    }
    text
}

fn clusters(number: u32, stage: &Stage) -> String {
    let port = stage.address(Port::Http1).port();
    let endpoint = |n: u32| {
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}",
            u32::from(port) + n
        )
    };
    let endpoints = [endpoint(0), endpoint(1), endpoint(2)].join(", ");
    let mut text = String::new();
    for n in 0..number {
        let _ = writeln!(
            text,
            "  - {{name: s{n}, type: STATIC, connect_timeout: 1s, lb_policy: LEAST_REQUEST, \
             outlier_detection: {{consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s}}, \
             load_assignment: {{cluster_name: s{n}, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}}}"
        );
    }
    text
}
