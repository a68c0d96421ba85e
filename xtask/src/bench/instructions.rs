//! The gate on instructions: a request must not become dearer unnoticed.
//!
//! The tests gate the debug build, which is there anyway: an optimised one would cost them many
//! minutes. Its figures mean nothing by themselves, but they grow with the work that is done.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::bench::count;
use crate::bench::proxies;
use crate::bench::scenario;
use crate::bench::stage::Stage;
use crate::run::{cargo, program, root, say, step, target};

/// What is counted.
const SCENARIOS: [&str; 3] = ["h1", "mesh", "h2"];
/// What the tests gate.
const GATED: [&str; 2] = ["h1", "mesh"];
/// Growth that fails.
const GROWTH_MAX: f64 = 1.10;
/// Shrinkage after which the stored figure should follow.
const SHRUNK: f64 = 0.95;
/// The cargo profile: optimised where requests pass, quick to build elsewhere.
const PROFILE: &str = "instructions";

/// How to count.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Store what was counted as the new figures.
    #[arg(long)]
    write: bool,
    /// Count the debug build, as the tests do.
    #[arg(long)]
    debug: bool,
    /// Our program, instead of building it.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The first of about 20 ports on loopback.
    #[arg(long, default_value_t = 21_100)]
    base_port: u16,
}

/// What a request may cost, per request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Cost {
    instructions: f64,
    system_calls: f64,
}

/// Costs by scenario.
type Costs = BTreeMap<String, Cost>;

/// What is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    optimised: Costs,
    debug: Costs,
}

impl Stored {
    fn of(&mut self, debug: bool) -> &mut Costs {
        if debug {
            &mut self.debug
        } else {
            &mut self.optimised
        }
    }
}

/// The step of the tests: the debug build, which is there.
pub(crate) fn gate() -> Result<()> {
    run(&Options {
        write: false,
        debug: true,
        program: None,
        base_port: 21_100,
    })
}

/// Counts, and compares or stores.
pub(crate) fn run(options: &Options) -> Result<()> {
    let file = root().join("bench/instructions.json");
    let mut stored: Stored = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).context("bench/instructions.json")?,
        Err(_) if options.write => Stored::default(),
        Err(error) => return Err(error).context("bench/instructions.json"),
    };
    let (ours, load) = if options.debug {
        let built = target().join("debug");
        (built.join("aviary"), built.join("bench-load"))
    } else {
        programs(options.program.as_ref())?
    };
    let stage = Stage::set(&load, options.base_port)?;
    let names: &[&str] = if options.debug { &GATED } else { &SCENARIOS };
    let mut found = Costs::new();
    for name in names {
        found.insert((*name).to_owned(), cost(&stage, &ours, name)?);
    }
    let stored_costs = stored.of(options.debug);
    if options.write {
        *stored_costs = found;
        fs::write(file, serde_json::to_string_pretty(&stored)? + "\n")?;
        return Ok(());
    }
    judge(stored_costs, &found)
}

/// The program under test and the load tool.
fn programs(given: Option<&PathBuf>) -> Result<(PathBuf, PathBuf)> {
    step("build for counting", || {
        let mut command = cargo(&["build", "--locked", "--profile", PROFILE]);
        command.args(["-p", "bench-load", "--bin", "bench-load"]);
        if given.is_none() {
            command.args(["-p", "aviary-proxy", "--example", "standalone"]);
        }
        program(&mut command)
    })?;
    let built = target().join(PROFILE);
    let ours = given.map_or_else(|| built.join("examples/standalone"), Clone::clone);
    Ok((ours, built.join("bench-load")))
}

fn cost(stage: &Stage, program: &std::path::Path, name: &str) -> Result<Cost> {
    let names = [name.to_owned()];
    let scenarios = scenario::named(&names).unwrap_or_default();
    let scenario = scenarios.first().context("an unknown scenario")?;
    let counts = count::run(stage, &proxies::ours(program), scenario);
    say(&format!("   {name}: {}", counts.brief()));
    match (counts.instructions, counts.calls()) {
        (Some(instructions), Some(system_calls)) => Ok(Cost {
            instructions: instructions.round(),
            system_calls: (system_calls * 100.0).round() / 100.0,
        }),
        _ => bail!("{name}: {}", counts.failures.join("; ")),
    }
}

/// Fails when something grew too much.
fn judge(stored: &Costs, found: &Costs) -> Result<()> {
    let mut grown = Vec::new();
    for (name, now) in found {
        let before = stored
            .get(name)
            .with_context(|| format!("bench/instructions.json has no `{name}`"))?;
        for (what, before, now) in [
            ("user instructions", before.instructions, now.instructions),
            ("system calls", before.system_calls, now.system_calls),
        ] {
            if now > before * GROWTH_MAX {
                grown.push(format!("{name}: {what} per request from {before} to {now}"));
            } else if now < before * SHRUNK {
                say(&format!(
                    "   {name}: {what} per request fell from {before} to {now}; \
                     keep that by the same command with `--write`"
                ));
            }
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    bail!(
        "a request became dearer by more than 10 %:\n  {}\n\
         See where by `callgrind_annotate` on target/bench/profiles; if it must be so, store the new figures \
         by `cargo xtask bench instructions --write` (for the tests with `--debug` too) and say why in the commit",
        grown.join("\n  ")
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Cost, judge};

    #[test]
    fn growth_beyond_a_tenth_fails_and_names_the_scenario() {
        let costs = |instructions, system_calls| {
            let cost = Cost {
                instructions,
                system_calls,
            };
            BTreeMap::from([("h1".to_owned(), cost)])
        };
        let stored = costs(10_000.0, 6.0);
        assert!(judge(&stored, &costs(10_900.0, 6.0)).is_ok());
        let error = judge(&stored, &costs(11_100.0, 6.0)).unwrap_err();
        assert!(error.to_string().contains("h1: user instructions"));
        assert!(judge(&stored, &costs(9_000.0, 7.0)).is_err());
    }
}
