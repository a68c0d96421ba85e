//! The run of `cargo xtask bench proxy`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::bench::count::{self, Counts};
use crate::bench::measure::{self, Effort};
use crate::bench::proxies::{self, NAMES, Proxy};
use crate::bench::report;
use crate::bench::scenario::{self, Scenario, Work};
use crate::bench::stage::Stage;
use crate::bench::statistics::{DIRECT, Figure, Figures, Sample};
use crate::run::{cargo, program, root, say, step, target};

/// What is compared, and how thoroughly.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Scenarios, separated by commas; all when none is named.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Proxies, separated by commas.
    #[arg(long, value_delimiter = ',', default_values = NAMES)]
    proxies: Vec<String>,
    /// How often each proxy is measured in each scenario.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Two short rounds: shows that everything runs, not what it costs.
    #[arg(long)]
    quick: bool,
    /// Count user instructions and system calls per request (h1, mesh, h2): `also`, or `only` them, which
    /// no busy machine disturbs.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "also")]
    icount: Option<Icount>,
    /// Requests per second of the latency scenarios.
    #[arg(long, default_value_t = 4000)]
    rate: u32,
    /// Our program, instead of building it for release.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The first of about 20 ports on loopback.
    #[arg(long, default_value_t = 21_000)]
    base_port: u16,
    /// Folder for results.json and summary.md; a new one under target/bench otherwise.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Put the tables into docs/performance.md.
    #[arg(long)]
    write_docs: bool,
}

/// Whether counts come beside times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Icount {
    Also,
    Only,
}

/// What a run gives.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) command: String,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) rate: u32,
    pub(crate) held: usize,
    pub(crate) versions: BTreeMap<&'static str, String>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) counts: Vec<Counts>,
}

/// Measures, and writes what was found after each round.
pub(crate) fn run(options: &Options) -> Result<()> {
    let scenarios = match scenario::named(&options.scenarios) {
        Ok(scenarios) => scenarios,
        Err(unknown) => bail!("`{unknown}` is not a scenario; `--help` names them"),
    };
    let (ours, load) = programs(options.program.as_deref())?;
    let proxies = proxies::find(&options.proxies, &ours)?;
    let stage = Stage::set(&load, options.base_port)?;
    let (rounds, effort) = effort(options);
    let mut results = Results {
        date: said_by("date", &["-u", "+%F"]),
        machine: machine(),
        command: command_line(),
        rounds,
        seconds: effort.seconds,
        rate: effort.rate,
        held: effort.held,
        versions: proxies
            .iter()
            .filter(|proxy| !proxy.name.contains([',', '-']))
            .map(|proxy| (proxy.name, proxy.version.clone()))
            .collect(),
        samples: Vec::new(),
        counts: Vec::new(),
    };
    let out = options.out.clone().unwrap_or_else(|| {
        let time = said_by("date", &["-u", "+%Y%m%d-%H%M%S"]);
        target().join("bench").join(time)
    });
    fs::create_dir_all(&out)?;
    for round in 0..rounds {
        for scenario in &scenarios {
            measure_all(&stage, &proxies, scenario, effort, round, &mut results);
        }
        report::write(&out, &results)?;
    }
    if options.icount.is_some() {
        count_all(&stage, &proxies, &scenarios, &mut results);
        report::write(&out, &results)?;
    }
    if options.write_docs {
        report::write_docs(&root().join("docs/performance.md"), &results)?;
    }
    say(&report::text(&results));
    say(&format!("results in {}", out.display()));
    Ok(())
}

/// Ours and the load tool, built unless ours is given.
fn programs(given: Option<&Path>) -> Result<(PathBuf, PathBuf)> {
    let mut packages = vec!["bench-load"];
    if given.is_none() {
        packages.push("aviary");
    }
    build_release(&packages)?;
    let release = target().join("release");
    let ours = given.map_or_else(|| release.join("aviary"), Path::to_owned);
    Ok((ours, release.join("bench-load")))
}

/// Builds packages for release.
pub(crate) fn build_release(packages: &[&str]) -> Result<()> {
    step("release build", || {
        let mut command = cargo(&["build", "--locked", "--release"]);
        for package in packages {
            command.args(["-p", package]);
        }
        program(&mut command)
    })
}

fn effort(options: &Options) -> (u32, Effort) {
    let effort = |seconds, held| Effort {
        seconds,
        rate: options.rate,
        held,
    };
    if options.icount == Some(Icount::Only) {
        (0, effort(options.seconds, 0))
    } else if options.quick {
        (2, effort(2.0, 1000))
    } else {
        (options.rounds, effort(options.seconds, 3000))
    }
}

/// All proxies once in a scenario, in an order of their own for each round.
fn measure_all(
    stage: &Stage,
    proxies: &[Proxy],
    scenario: &Scenario,
    effort: Effort,
    round: u32,
    results: &mut Results,
) {
    let mut keep = |proxy, measured: Result<Figures>| {
        let (figures, failure) = match measured {
            Ok(figures) => (figures, None),
            Err(error) => (Figures::new(), Some(format!("{error:#}"))),
        };
        let said = failure.clone().unwrap_or_else(|| brief(&figures));
        say(&format!(
            "round {round}  {:13} {proxy:22} {said}",
            scenario.name
        ));
        results.samples.push(Sample {
            round,
            scenario: scenario.name,
            proxy,
            figures,
            failure,
        });
    };
    if let Work::Open(asked) = scenario.work {
        let direct = measure::latency(stage, stage.upstream(scenario), asked, effort);
        keep(DIRECT, direct);
    }
    let mut order: Vec<&Proxy> = proxies.iter().collect();
    order.retain(|proxy| !proxy.templates(scenario).is_empty());
    shuffle(
        &mut order,
        round * 31 + u32::from(scenario.name.as_bytes()[0]),
    );
    for proxy in order {
        keep(proxy.name, measure::sample(stage, proxy, scenario, effort));
    }
}

/// A sample in a line.
fn brief(figures: &Figures) -> String {
    let named = [
        (Figure::Rate, "rate", 1),
        (Figure::Cpu, "cpu", 1),
        (Figure::ProxyBusy, "busy", 2),
        (Figure::LoadBusy, "load busy", 2),
        (Figure::Stolen, "stolen", 3),
        (Figure::P50Us, "p50", 0),
        (Figure::P99Us, "p99", 0),
        (Figure::IdleMib, "idle MiB", 1),
        (Figure::LoadedMib, "loaded MiB", 1),
        (Figure::KibPerConnection, "KiB/connection", 1),
        (Figure::KibPerService, "KiB/service", 1),
    ];
    let present = named.iter().filter_map(|(figure, name, decimals)| {
        let value = figures.get(figure)?;
        Some(format!("{name} {value:.decimals$}"))
    });
    present.collect::<Vec<_>>().join("  ")
}

fn count_all(stage: &Stage, proxies: &[Proxy], scenarios: &[Scenario], results: &mut Results) {
    for scenario in scenarios {
        if !matches!(scenario.name, "h1" | "mesh" | "h2") {
            continue;
        }
        for proxy in proxies {
            if proxy.templates(scenario).is_empty() {
                continue;
            }
            let counts = count::run(stage, proxy, scenario);
            say(&format!(
                "counts   {:13} {:22} {}",
                scenario.name,
                proxy.name,
                counts.brief()
            ));
            results.counts.push(counts);
        }
    }
}

/// Source: Fisher and Yates, with a xorshift generator.
fn shuffle<T>(list: &mut [T], seed: u32) {
    let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
    for last in (1..list.len()).rev() {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        list.swap(last, random as usize % (last + 1));
    }
}

/// Cores, processor and kernel.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    let kernel = said_by("uname", &["-r"]);
    let kernel: Vec<&str> = kernel.split('.').take(2).collect();
    format!("{cores} cores ({model}), Linux {}", kernel.join("."))
}

/// The command that repeats this run, without where files lie here.
fn command_line() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut kept = Vec::new();
    let mut skip = false;
    for arg in args {
        if std::mem::take(&mut skip) {
            continue;
        }
        if matches!(arg.as_str(), "--program" | "--out") {
            skip = true;
        } else if !arg.starts_with("--program=") && !arg.starts_with("--out=") {
            kept.push(arg);
        }
    }
    format!("cargo xtask {}", kept.join(" "))
}

fn said_by(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn shuffle_keeps_all_and_differs_by_seed() {
        let orders: Vec<Vec<u32>> = (0..8)
            .map(|seed| {
                let mut list = vec![1, 2, 3, 4];
                shuffle(&mut list, seed);
                list
            })
            .collect();
        assert!(orders.iter().any(|order| order != &orders[0]));
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, [1, 2, 3, 4]);
        }
    }
}
