//! Histograms with Envoy's bounds.

use std::fmt::Write as _;

/// Upper bounds of the buckets in thousandths of a millisecond or a byte; `+Inf` follows.
///
/// Source: Envoy's default histogram buckets, which Istio's dashboards expect.
pub const BOUNDS: [u64; 19] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// By the number of bits of a value, the first bucket that it may fall into. Bounds at least
/// double from one to the next, so between two powers of two there is at most one, and one
/// comparison decides.
const FIRST: [u8; 65] = {
    let mut first = [0_u8; 65];
    let mut bits = 1;
    while bits <= 64 {
        let least = 1_u64 << (bits - 1);
        let mut bucket = 0;
        while bucket < BOUNDS.len() && BOUNDS[bucket] < least {
            bucket += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are 20 buckets")]
        {
            first[bits] = bucket as u8;
        }
        bits += 1;
    }
    first
};

/// How often a value fell into each bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    /// In thousandths; wraps after 18 quadrillion whole units.
    sum: u64,
}

impl Histogram {
    /// Counts a value given in thousandths: a duration in microseconds, or a size in thousandths
    /// of a byte.
    #[inline]
    pub fn record(&mut self, thousandths: u64) {
        let bits = 64 - thousandths.leading_zeros() as usize;
        let first = usize::from(FIRST.get(bits).copied().unwrap_or_default());
        let over = BOUNDS.get(first).is_some_and(|bound| *bound < thousandths);
        if let Some(count) = self.buckets.get_mut(first + usize::from(over)) {
            *count += 1;
        }
        self.sum = self.sum.wrapping_add(thousandths);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum = self.sum.wrapping_add(other.sum);
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
                Some(bound) => writeln!(
                    text,
                    "{name}_bucket{{{labels},le=\"{}\"}} {below}",
                    units(*bound)
                ),
                None => writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}"),
            };
        }
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", units(self.sum));
        let _ = writeln!(text, "{name}_count{{{labels}}} {below}");
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a sum over 2^53 thousandths may be rounded"
)]
fn units(thousandths: u64) -> f64 {
    thousandths as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_every_edge_falls_where_a_search_puts_it() {
        let edges = BOUNDS
            .iter()
            .flat_map(|bound| [bound - 1, *bound, bound + 1]);
        let powers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain(powers).chain([0, u64::MAX]) {
            let mut histogram = Histogram::default();
            histogram.record(value);
            let want = BOUNDS.partition_point(|bound| *bound < value);
            assert_eq!(histogram.buckets[want], 1, "{value}");
        }
    }
}
