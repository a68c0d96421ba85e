//! Choosing an endpoint.

use rand::Rng;

use crate::cluster::Balance;

/// What the choice depends on, per endpoint, in the order of the endpoint set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointView {
    /// It is announced as healthy and not ejected.
    pub healthy: bool,
    /// Relative share, at least 1.
    pub weight: u32,
    /// Requests under way to it.
    pub active: u32,
}

/// The position of a cluster's balancer; lives as long as the cluster.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Smooth weighted round robin: each endpoint's credit.
    credits: Vec<i64>,
}

/// How often a draw is repeated to find an endpoint that was not tried yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Avoid<'a> {
    /// Indexes of endpoints that this request was sent to before.
    pub tried: &'a [usize],
    /// Draws after the first; 0 does not avoid. Source: Envoy `host_selection_retry_max_attempts`.
    pub attempts: u32,
}

/// Index of the endpoint that gets the next request.
///
/// Unhealthy endpoints are left out, unless the share of healthy ones is below
/// `panic_below_percent` (0 to 100): then health is ignored. `None` when nothing is left (flag UH).
pub fn pick(
    endpoints: &[EndpointView],
    balance: Balance,
    panic_below_percent: u32,
    avoid: Avoid<'_>,
    state: &mut State,
    rng: &mut impl Rng,
) -> Option<usize> {
    let healthy = endpoints.iter().filter(|endpoint| endpoint.healthy).count();
    let panic = healthy * 100 < endpoints.len() * panic_below_percent as usize;
    let candidates = Candidates {
        endpoints,
        panic,
        count: if panic { endpoints.len() } else { healthy },
        even: endpoints
            .windows(2)
            .all(|pair| pair[0].weight == pair[1].weight),
    };
    if candidates.count == 0 {
        return None;
    }
    let mut chosen = candidates.choose(balance, state, rng)?;
    for _ in 0..avoid.attempts {
        if !avoid.tried.contains(&chosen) {
            break;
        }
        chosen = candidates.choose(balance, state, rng)?;
    }
    Some(chosen)
}

struct Candidates<'a> {
    endpoints: &'a [EndpointView],
    panic: bool,
    /// How many may be chosen.
    count: usize,
    /// All have the same weight.
    even: bool,
}

impl Candidates<'_> {
    fn usable(&self, endpoint: &EndpointView) -> bool {
        self.panic || endpoint.healthy
    }

    fn choose(&self, balance: Balance, state: &mut State, rng: &mut impl Rng) -> Option<usize> {
        match balance {
            // Without a hash of the request any endpoint will do, as for Envoy.
            Balance::Random | Balance::RingHash { .. } | Balance::Maglev { .. } => self.draw(rng),
            Balance::RoundRobin => self.next_in_turn(state),
            Balance::LeastRequest => self.least_of(2, rng),
            Balance::LeastOf(draws) => self.least_of(draws, rng),
        }
    }

    /// The least busy of some drawn at random; of equals the first.
    fn least_of(&self, draws: u32, rng: &mut impl Rng) -> Option<usize> {
        let mut least = self.draw(rng)?;
        for _ in 1..draws {
            let other = self.draw(rng)?;
            if self.endpoints[other].active < self.endpoints[least].active {
                least = other;
            }
        }
        Some(least)
    }

    /// One at random by weight.
    fn draw(&self, rng: &mut impl Rng) -> Option<usize> {
        if self.even && self.count == self.endpoints.len() {
            return Some(rng.random_range(0..self.count));
        }
        let weight = |endpoint: &EndpointView| {
            if self.usable(endpoint) {
                u64::from(endpoint.weight.max(1))
            } else {
                0
            }
        };
        let total: u64 = self.endpoints.iter().map(weight).sum();
        let mut drawn = rng.random_range(0..total);
        self.endpoints.iter().position(|endpoint| {
            let weight = weight(endpoint);
            if drawn < weight {
                return true;
            }
            drawn -= weight;
            false
        })
    }

    /// Smooth weighted round robin: every endpoint earns its weight, the richest pays for all.
    fn next_in_turn(&self, state: &mut State) -> Option<usize> {
        state.credits.resize(self.endpoints.len(), 0);
        let mut total = 0;
        let mut richest: Option<usize> = None;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !self.usable(endpoint) {
                continue;
            }
            let weight = i64::from(endpoint.weight.max(1));
            total += weight;
            state.credits[index] += weight;
            if richest.is_none_or(|best| state.credits[index] > state.credits[best]) {
                richest = Some(index);
            }
        }
        let richest = richest?;
        state.credits[richest] -= total;
        Some(richest)
    }
}

#[cfg(test)]
mod tests;
