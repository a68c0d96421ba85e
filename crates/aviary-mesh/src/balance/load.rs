//! How much of the requests each priority gets.
//!
//! Source: Envoy `LoadBalancerBase::recalculatePerPriorityState` and its neighbours.

use super::Member;

/// What a priority gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) percent: u32,
    /// So few of its endpoints are healthy that all of them are used.
    pub(super) panic: bool,
}

/// Endpoints of one priority.
#[derive(Clone, Copy, Default)]
struct Count {
    healthy: u64,
    total: u64,
}

/// The shares of the priorities 0 to the largest one; they sum to 100 when there are endpoints.
pub(super) fn shares(members: &[Member], overprovisioning: u32, threshold: u32) -> Vec<Share> {
    let levels = members.iter().map(|it| it.priority as usize + 1).max();
    let mut counts = vec![Count::default(); levels.unwrap_or(0)];
    for member in members {
        let count = &mut counts[member.priority as usize];
        count.total += 1;
        count.healthy += u64::from(member.healthy);
    }
    let health = |count: &Count| {
        let percent = (u64::from(overprovisioning) * count.healthy).checked_div(count.total);
        percent.unwrap_or(0).min(100)
    };
    let available = counts.iter().map(health).sum::<u64>().min(100);
    let threshold = u64::from(threshold.min(100));
    let panics = |count: &Count| {
        let few = match count.total {
            0 => threshold > 0,
            total => 100 * count.healthy < threshold * total,
        };
        few && available < 100
    };
    if threshold > 0 && counts.iter().all(panics) {
        let hosts = counts.iter().map(|count| count.total);
        return distribute(&counts, hosts, members.len() as u64, true);
    }
    if available == 0 {
        let hosts = counts.iter().map(|count| count.total);
        let mut shares = distribute(&counts, hosts, members.len().max(1) as u64, false);
        for share in &mut shares {
            share.percent = 0;
        }
        if let Some(first) = shares.first_mut() {
            first.percent = 100;
        }
        return shares;
    }
    let mut left = 100;
    let mut shares: Vec<_> = counts
        .iter()
        .map(|count| {
            let percent = (health(count) * 100 / available).min(left);
            left -= percent;
            Share {
                percent: small(percent),
                panic: panics(count),
            }
        })
        .collect();
    // What rounding left over goes to the first that can take it.
    if let Some(first) = counts.iter().position(|count| health(count) > 0) {
        shares[first].percent += small(left);
    }
    shares
}

/// By the number of endpoints, whatever their health.
fn distribute(
    counts: &[Count],
    hosts: impl Iterator<Item = u64>,
    total: u64,
    panic: bool,
) -> Vec<Share> {
    let mut left = 100;
    let mut shares: Vec<_> = hosts
        .map(|hosts| {
            let percent = 100 * hosts / total;
            left -= percent;
            Share {
                percent: small(percent),
                panic,
            }
        })
        .collect();
    if let Some(first) = counts.iter().position(|count| count.total > 0) {
        shares[first].percent += small(left);
    }
    shares
}

/// A number up to 100.
fn small(percent: u64) -> u32 {
    u32::try_from(percent).unwrap_or(100)
}

/// The priority for a hash. Source: Envoy `LoadBalancerBase::choosePriority`.
pub(super) fn level(shares: &[Share], hash: u64) -> Option<usize> {
    let wanted = small(hash % 100) + 1;
    let mut sum = 0;
    shares.iter().position(|share| {
        sum += share.percent;
        wanted <= sum
    })
}

/// A locality's weight after what it lost of its health.
///
/// Source: Envoy `HostSetImpl::effectiveLocalityWeight`.
pub(super) fn effective(weight: u32, usable: usize, total: usize, overprovisioning: u32) -> f64 {
    if total == 0 {
        return 0.0;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of endpoints are far below 2^52"
    )]
    let ratio = usable as f64 / total as f64;
    f64::from(weight) * (ratio * f64::from(overprovisioning) / 100.0).min(1.0)
}
