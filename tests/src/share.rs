//! Counting who answered, and the rule by which a share passes.

use std::collections::BTreeMap;

/// How often each kind of answer was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(BTreeMap<String, usize>);

impl Shares {
    /// Counts `answers` by what `kind` calls them.
    pub fn count<T>(answers: &[T], kind: impl Fn(&T) -> String) -> Self {
        let mut counts = BTreeMap::new();
        for answer in answers {
            *counts.entry(kind(answer)).or_default() += 1;
        }
        Self(counts)
    }

    /// How often `kind` was seen.
    pub fn of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// All answers.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// Fails unless `kind` has the share `p` (0 to 1) within four standard deviations; 0 and 1 are exact.
///
/// # Panics
/// The share is outside.
pub fn assert_share(shares: &Shares, kind: &str, p: f64) {
    let total = f64::from(u32::try_from(shares.total()).unwrap_or(u32::MAX));
    let seen = f64::from(u32::try_from(shares.of(kind)).unwrap_or(u32::MAX)) / total;
    let bound = 4.0 * (p * (1.0 - p) / total).sqrt();
    println!(
        "share of {kind}: {:.1} %, wanted {:.1} % ± {:.1} of {total}",
        seen * 100.0,
        p * 100.0,
        bound * 100.0
    );
    assert!(total > 0.0, "no answers");
    assert!(
        (seen - p).abs() <= bound,
        "{shares:?}: {kind} has {seen}, wanted {p} ± {bound}"
    );
}
