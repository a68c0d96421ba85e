//! Tables of a run.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::compare::Results;
use crate::bench::scenario::{SCENARIOS, Scenario, Work};
use crate::bench::statistics::{DIRECT, Figure, Sample, Samples, cell, median};

/// Between these lines of docs/performance.md the tables go.
const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// The bars: CPU per request of ours in proportion to Envoy's and to HAProxy's.
const BARS: [(&str, f64, Option<f64>); 7] = [
    ("h1", 0.33, Some(0.90)),
    ("mesh", 0.28, Some(0.85)),
    ("h2", 0.30, Some(0.75)),
    ("h2-64x1", 0.42, Some(0.75)),
    ("mtls", 0.30, Some(0.80)),
    ("tcp", 0.30, None),
    ("churn", 0.55, None),
];

/// Writes results.json and summary.md into `folder`.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<()> {
    let json = serde_json::to_string_pretty(results)?;
    fs::write(folder.join("results.json"), json)?;
    fs::write(folder.join("summary.md"), text(results))?;
    Ok(())
}

/// Puts the tables into a page, between its two marks.
pub(crate) fn write_docs(page: &Path, results: &Results) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let (before, rest) = text.split_once(BEGIN).context("no begin mark")?;
    let (_, after) = rest.split_once(END).context("no end mark")?;
    let tables = self::text(results);
    fs::write(page, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    Ok(())
}

/// All tables.
pub(crate) fn text(results: &Results) -> String {
    let mut text = String::new();
    let versions: Vec<String> = results
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let _ = writeln!(
        text,
        "{}: {}.\n{}.\n{} rounds of {} s; medians (least–greatest).\nCommand: `{}`\n",
        results.date,
        results.machine,
        versions.join(", "),
        results.rounds,
        results.seconds,
        results.command
    );
    bars(&mut text, &results.samples);
    for scenario in &SCENARIOS {
        let samples = Samples::of(&results.samples, scenario.name);
        if samples.proxies().is_empty() {
            continue;
        }
        let _ = writeln!(text, "### {}\n", scenario.name);
        match scenario.work {
            Work::Open(_) => latency(&mut text, &samples, results.rate),
            Work::Memory => memory(&mut text, &samples, results.held),
            Work::Services => table(
                &mut text,
                &samples,
                &[("KiB per configured service", Figure::KibPerService, 1)],
            ),
            _ => cost(&mut text, &samples, scenario),
        }
        failures(&mut text, &samples);
        text.push('\n');
    }
    counts(&mut text, results);
    text
}

/// Ours beside the bars.
fn bars(text: &mut String, all: &[Sample]) {
    let mut rows = String::new();
    for (name, envoy_max, haproxy_max) in BARS {
        let samples = Samples::of(all, name);
        let ratio = |other, max: Option<f64>| {
            let ratios = samples.pairs("aviary", other, Figure::Cpu, |a, b| a / b);
            match (median(&ratios), max) {
                (Some(ratio), Some(max)) => {
                    let verdict = if ratio <= max { "holds" } else { "**missed**" };
                    format!("{ratio:.2} ≤ {max:.2}: {verdict}")
                }
                (Some(ratio), None) => format!("{ratio:.2}"),
                (None, _) => "–".into(),
            }
        };
        let (envoy, haproxy) = (
            ratio("envoy", Some(envoy_max)),
            ratio("haproxy", haproxy_max),
        );
        if envoy != "–" || haproxy != "–" {
            let _ = writeln!(rows, "| {name} | {envoy} | {haproxy} |");
        }
    }
    if !rows.is_empty() {
        *text += "### CPU of ours in proportion to others, beside the bars\n\n\
                  | scenario | to Envoy | to HAProxy |\n|---|---|---|\n";
        *text += &rows;
        text.push('\n');
    }
}

fn cost(text: &mut String, samples: &Samples<'_>, scenario: &Scenario) {
    let (rate, cpu) = if scenario.work == Work::Bulk {
        (("GB/s", 2), ("CPU ms per GB", 0))
    } else {
        (("requests/s", 0), ("CPU µs per request", 1))
    };
    let none = "aviary, no telemetry";
    let others: &[(&str, &str)] = if scenario.name == "telemetry" {
        &[("÷ none", none)]
    } else {
        &[("÷ Envoy", "envoy"), ("÷ HAProxy", "haproxy")]
    };
    let titles: Vec<&str> = others.iter().map(|(title, _)| *title).collect();
    let _ = writeln!(
        text,
        "| proxy | {} | {} | {} | user % | proxy core busy | load core busy | errors |\n|---|---|{}---|---|---|---|---|",
        rate.0,
        cpu.0,
        titles.join(" | "),
        "---|".repeat(others.len())
    );
    for proxy in samples.proxies() {
        let values = |figure| samples.values(proxy, figure);
        let ratios = others.iter().map(|(_, other)| {
            let ratios = samples.pairs(proxy, other, Figure::Cpu, |a, b| a / b);
            cell(&ratios, 2)
        });
        let middle = |figure, factor: f64, decimals| {
            let middle = median(&values(figure)).map(|value| value * factor);
            middle.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
        };
        let errors = values(Figure::Errors).iter().fold(0.0, |sum, n| sum + n);
        let _ = writeln!(
            text,
            "| {proxy} | {} | {} | {} | {} | {} | {} | {errors:.0} |",
            cell(&values(Figure::Rate), rate.1),
            cell(&values(Figure::Cpu), cpu.1),
            ratios.collect::<Vec<_>>().join(" | "),
            middle(Figure::UserShare, 100.0, 0),
            middle(Figure::ProxyBusy, 1.0, 2),
            middle(Figure::LoadBusy, 1.0, 2),
        );
    }
}

fn latency(text: &mut String, samples: &Samples<'_>, rate: u32) {
    *text += "| proxy | added p50 µs | added p99 µs | added p99.9 µs |\n|---|---|---|---|\n";
    for proxy in samples.proxies() {
        let added = |figure| {
            let added = samples.pairs(proxy, DIRECT, figure, |proxy, direct| proxy - direct);
            cell(&added, 0)
        };
        let _ = writeln!(
            text,
            "| {proxy} | {} | {} | {} |",
            added(Figure::P50Us),
            added(Figure::P99Us),
            added(Figure::P999Us)
        );
    }
    let direct = |figure| cell(&samples.values(DIRECT, figure), 0);
    let _ = writeln!(
        text,
        "\nWithout a proxy at {rate} requests/s: p50 {}, p99 {}, p99.9 {} µs.",
        direct(Figure::P50Us),
        direct(Figure::P99Us),
        direct(Figure::P999Us)
    );
}

fn memory(text: &mut String, samples: &Samples<'_>, held: usize) {
    let loaded = format!("MiB after load with {held} connections held");
    table(
        text,
        samples,
        &[
            ("MiB idle", Figure::IdleMib, 1),
            (&loaded, Figure::LoadedMib, 1),
            ("KiB per idle connection", Figure::KibPerConnection, 1),
        ],
    );
}

fn table(text: &mut String, samples: &Samples<'_>, columns: &[(&str, Figure, usize)]) {
    let titles: Vec<&str> = columns.iter().map(|(title, _, _)| *title).collect();
    let _ = writeln!(
        text,
        "| proxy | {} |\n|---|{}",
        titles.join(" | "),
        "---|".repeat(columns.len())
    );
    for proxy in samples.proxies() {
        let cells = columns
            .iter()
            .map(|(_, figure, decimals)| cell(&samples.values(proxy, *figure), *decimals));
        let _ = writeln!(
            text,
            "| {proxy} | {} |",
            cells.collect::<Vec<_>>().join(" | ")
        );
    }
}

/// A failure is never dropped.
fn failures(text: &mut String, samples: &Samples<'_>) {
    for proxy in samples.proxies() {
        if let Some(failure) = samples.failure(proxy) {
            let _ = writeln!(text, "\n{proxy} failed: {failure}");
        }
    }
}

fn counts(text: &mut String, results: &Results) {
    if results.counts.is_empty() {
        return;
    }
    *text += "### Instructions and system calls per request\n\n\
              One connection, one request after the other.\n\n\
              | scenario | proxy | user instructions | system calls | which |\n|---|---|---|---|---|\n";
    for counts in &results.counts {
        let instructions = counts.instructions.map(|n| format!("{n:.0}"));
        let calls = counts.calls().map(|n| format!("{n:.1}"));
        let names = counts.system_calls.iter().flatten();
        let names: Vec<String> = names.map(|(name, n)| format!("{name} {n:.2}")).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {}{} |",
            counts.scenario,
            counts.proxy,
            instructions.unwrap_or_else(|| "–".into()),
            calls.unwrap_or_else(|| "–".into()),
            names.join(", "),
            counts.failures.join("; ")
        );
    }
}
