//! Histograms with Envoy's bounds.

use std::fmt::Write as _;

/// Upper bounds of the buckets, for milliseconds and for bytes alike; `+Inf` follows.
///
/// Source: Envoy's default histogram buckets, which Istio's dashboards expect.
pub const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// How often a value fell into each bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// Counts `value`, which is not negative.
    pub fn record(&mut self, value: f64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < value);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum += other.sum;
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Writes the `_bucket`, `_sum` and `_count` lines of one series.
    pub(crate) fn write(&self, name: &str, labels: &str, text: &mut String) {
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            let _ = match BOUNDS.get(index) {
                Some(bound) => writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}"),
                None => writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}"),
            };
        }
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.sum);
        let _ = writeln!(text, "{name}_count{{{labels}}} {below}");
    }
}
