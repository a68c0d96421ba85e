//! Medians, ranges and ratios of samples.

use std::collections::BTreeMap;

use serde::Serialize;

/// One number that a sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Requests or GB per second.
    Rate,
    /// CPU of the process tree in µs per request, or ms per GB.
    Cpu,
    /// Share of that CPU outside the kernel, by ticks.
    UserShare,
    /// Share of its core that the proxy used, and that load and upstream used of theirs.
    ProxyBusy,
    LoadBusy,
    /// Share of both cores that the hypervisor took.
    Stolen,
    Errors,
    P50Us,
    P99Us,
    P999Us,
    IdleMib,
    LoadedMib,
    KibPerConnection,
    KibPerService,
}

/// The numbers of one sample.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// One proxy in one scenario in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) round: u32,
    pub(crate) scenario: &'static str,
    pub(crate) proxy: &'static str,
    pub(crate) figures: Figures,
    /// Why there are none.
    pub(crate) failure: Option<String>,
}

/// The name of the upstream without a proxy before it.
pub(crate) const DIRECT: &str = "direct";

/// The samples of one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Samples<'a>(Vec<&'a Sample>);

impl<'a> Samples<'a> {
    /// Those of `scenario`.
    pub(crate) fn of(all: &'a [Sample], scenario: &str) -> Self {
        Self(all.iter().filter(|s| s.scenario == scenario).collect())
    }

    /// The proxies that took part.
    pub(crate) fn proxies(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for sample in &self.0 {
            if !names.contains(&sample.proxy) && sample.proxy != DIRECT {
                names.push(sample.proxy);
            }
        }
        names.sort_unstable();
        names
    }

    /// Why a proxy has a sample without figures.
    pub(crate) fn failure(&self, proxy: &str) -> Option<&'a str> {
        let mut failures = self.0.iter().filter(|s| s.proxy == proxy);
        failures.find_map(|s| s.failure.as_deref())
    }

    /// A figure of a proxy in each round that has it.
    pub(crate) fn values(&self, proxy: &str, figure: Figure) -> Vec<f64> {
        let samples = self.0.iter().filter(|s| s.proxy == proxy);
        samples
            .filter_map(|s| s.figures.get(&figure).copied())
            .collect()
    }

    /// In each round, what `combine` makes of the figure of `proxy` and of `other`.
    pub(crate) fn pairs(
        &self,
        proxy: &str,
        other: &str,
        figure: Figure,
        combine: impl Fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        let value = |sample: &Sample| sample.figures.get(&figure).copied();
        let ours = self.0.iter().filter(|s| s.proxy == proxy);
        ours.filter_map(|sample| {
            let mut round = self.0.iter().filter(|s| s.round == sample.round);
            let other = round.find(|s| s.proxy == other)?;
            Some(combine(value(sample)?, value(other)?))
        })
        .collect()
    }
}

/// The middle; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = sorted.get(middle - 1).copied().unwrap_or(upper);
    Some(f64::midpoint(lower, upper))
}

/// `median (least–greatest)` with so many decimals; a dash without values.
pub(crate) fn cell(values: &[f64], decimals: usize) -> String {
    let Some(middle) = median(values) else {
        return "–".into();
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() == 1 {
        return format!("{middle:.decimals$}");
    }
    format!("{middle:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
}

#[cfg(test)]
mod tests {
    use super::{Figure, Figures, Sample, Samples, cell, median};

    #[test]
    fn median_of_even_many_is_between_the_middle_two() {
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[]), None);
        assert_eq!(cell(&[1.0, 3.0, 2.0], 1), "2.0 (1.0–3.0)");
    }

    #[test]
    fn pairs_are_formed_inside_a_round_only() {
        let sample = |round, proxy, cpu| Sample {
            round,
            scenario: "h1",
            proxy,
            figures: Figures::from([(Figure::Cpu, cpu)]),
            failure: None,
        };
        let all = [
            sample(0, "a", 2.0),
            sample(0, "b", 4.0),
            sample(1, "a", 3.0),
        ];
        let ratios = Samples::of(&all, "h1").pairs("a", "b", Figure::Cpu, |a, b| a / b);
        assert_eq!(ratios, [0.5]);
    }
}
