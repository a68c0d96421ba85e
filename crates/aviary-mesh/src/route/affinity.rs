//! Splits in which a client keeps its branch while shares grow.

use serde::{Deserialize, Serialize};

use super::{HashOf, WeightedCluster};

/// Clients are spread over so many buckets.
pub const BUCKETS: u32 = 1_000_000;

/// Branches side by side of which one is chosen for each client.
///
/// The branch is drawn by weight as ever, so that all of these together get what their weights
/// say. When it is one of these, the client's bucket chooses among them instead: the buckets go to
/// the branches in order, by weight. So the first branch keeps its clients when its share grows,
/// however often and over whichever routes they come. [`super::Forward::hash_split`] cannot say this:
/// it takes the whole split and the hash of the balancer, and has no salt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// Position of the first branch.
    pub first: u32,
    /// Number of branches.
    pub count: u32,
    /// What identifies a client; a request without it keeps the branch that was drawn.
    pub of: HashOf,
    /// Makes other clients the first ones where it differs.
    pub salt: String,
}

impl Affinity {
    /// Its branches, when `drawn` is the position of one of them.
    pub(crate) fn around<'a>(
        &self,
        branches: &'a [WeightedCluster],
        drawn: usize,
    ) -> Option<&'a [WeightedCluster]> {
        let first = self.first as usize;
        let run = first..first.checked_add(self.count as usize)?;
        if run.contains(&drawn) {
            return branches.get(run);
        }
        None
    }
}

/// The branch of a run that a bucket belongs to.
pub(crate) fn branch_of(run: &[WeightedCluster], bucket: u32) -> Option<&WeightedCluster> {
    let total: u64 = run.iter().map(|branch| u64::from(branch.weight)).sum();
    // Weights may be divided by what they have in common: cross-multiplied, that changes nothing.
    let wanted = u64::from(bucket) * total;
    let mut end = 0;
    run.iter().find(|branch| {
        end += u64::from(branch.weight);
        wanted < end * u64::from(BUCKETS)
    })
}
