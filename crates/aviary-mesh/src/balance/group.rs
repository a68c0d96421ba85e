//! One of several endpoints: in turn, at random, by load.

use std::time::Duration;

use rand::Rng;

use super::Indexed;
use crate::cluster::{Balance, SlowStart};

/// Draws that slow start may refuse before one is taken all the same.
const DRAWS: u32 = 32;

/// Endpoints to choose from.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Their positions in the cluster.
    members: Vec<u32>,
    weights: Weights,
    /// When each came or came back; empty when all have been there for long.
    since: Vec<Option<Duration>>,
    /// Smooth weighted round robin: each one's credit; empty until it is needed.
    credits: Vec<f64>,
}

/// Relative shares.
#[derive(Debug, Clone, Default)]
enum Weights {
    /// All have the same.
    #[default]
    Even,
    /// Sums of the weights up to and with each.
    Sums(Vec<u64>),
}

impl Group {
    pub(super) fn new(members: &[Indexed<'_>]) -> Self {
        let weight = |it: &Indexed<'_>| u64::from(it.1.weight.max(1));
        let even = members
            .windows(2)
            .all(|pair| weight(&pair[0]) == weight(&pair[1]));
        let mut sum = 0;
        let sums = members.iter().map(|it| {
            sum += weight(it);
            sum
        });
        let fresh = members.iter().any(|(_, member)| member.since.is_some());
        Self {
            weights: if even {
                Weights::Even
            } else {
                Weights::Sums(sums.collect())
            },
            since: if fresh {
                members.iter().map(|(_, member)| member.since).collect()
            } else {
                Vec::new()
            },
            members: (members.iter())
                .map(|(index, _)| u32::try_from(*index).unwrap_or(u32::MAX))
                .collect(),
            credits: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The position in the cluster of the one chosen; `None` when there is none.
    pub(super) fn pick(
        &mut self,
        balance: Balance,
        slow: Option<(&SlowStart, Duration)>,
        turn: &mut u64,
        active: impl Fn(usize) -> u32,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        let slow = slow.filter(|(slow, now)| self.is_slow(slow, *now));
        let place = match balance {
            Balance::RoundRobin => self.next_in_turn(slow, turn),
            Balance::LeastRequest => self.least_of(2, slow, active, rng),
            Balance::LeastOf(draws) => self.least_of(draws, slow, active, rng),
            Balance::Random | Balance::RingHash { .. } | Balance::Maglev { .. } => self.draw(rng),
        };
        Some(self.index(place))
    }

    fn index(&self, place: usize) -> usize {
        self.members[place] as usize
    }

    fn is_slow(&self, slow: &SlowStart, now: Duration) -> bool {
        let begins = now.saturating_sub(slow.window);
        self.since.iter().flatten().any(|since| *since > begins)
    }

    /// The least busy of some drawn at random; of equals the first.
    fn least_of(
        &self,
        draws: u32,
        slow: Option<(&SlowStart, Duration)>,
        active: impl Fn(usize) -> u32,
        rng: &mut impl Rng,
    ) -> usize {
        let mut least = self.draw_slow(slow, rng);
        let mut load = active(self.index(least));
        for _ in 1..draws {
            let other = self.draw_slow(slow, rng);
            let other_load = active(self.index(other));
            if other_load < load {
                (least, load) = (other, other_load);
            }
        }
        least
    }

    /// One at random by weight.
    fn draw(&self, rng: &mut impl Rng) -> usize {
        match &self.weights {
            Weights::Even => rng.random_range(0..self.members.len()),
            Weights::Sums(sums) => {
                let total = sums.last().copied().unwrap_or(1);
                let drawn = rng.random_range(0..total);
                sums.partition_point(|sum| *sum <= drawn)
            }
        }
    }

    /// One at random by weight and age: a draw is refused as often as slow start takes from the weight.
    fn draw_slow(&self, slow: Option<(&SlowStart, Duration)>, rng: &mut impl Rng) -> usize {
        let Some((slow, now)) = slow else {
            return self.draw(rng);
        };
        let mut place = self.draw(rng);
        for _ in 0..DRAWS {
            if rng.random_range(0.0..1.0) < self.factor(place, slow, now) {
                break;
            }
            place = self.draw(rng);
        }
        place
    }

    /// Share of its weight that an endpoint has. Source: Envoy `applySlowStartFactor`.
    fn factor(&self, place: usize, slow: &SlowStart, now: Duration) -> f64 {
        let Some(since) = self.since.get(place).copied().flatten() else {
            return 1.0;
        };
        let age = now.saturating_sub(since);
        if age >= slow.window {
            return 1.0;
        }
        let age = age.max(Duration::from_millis(1)).as_secs_f64() / slow.window.as_secs_f64();
        age.powf(1.0 / slow.aggression)
            .max(slow.min_weight_percent / 100.0)
    }

    fn weight(&self, place: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a weight has 32 bits")]
        match &self.weights {
            Weights::Even => 1.0,
            Weights::Sums(sums) => {
                let before = place.checked_sub(1).map_or(0, |before| sums[before]);
                (sums[place] - before) as f64
            }
        }
    }

    fn next_in_turn(&mut self, slow: Option<(&SlowStart, Duration)>, turn: &mut u64) -> usize {
        let place = *turn % self.members.len() as u64;
        *turn = turn.wrapping_add(1);
        if slow.is_none() && matches!(self.weights, Weights::Even) {
            self.credits.clear();
            return usize::try_from(place).unwrap_or(0);
        }
        // Smooth weighted round robin: every endpoint earns its weight, the richest pays for all.
        self.credits.resize(self.members.len(), 0.0);
        let mut total = 0.0;
        let mut richest = 0;
        for place in 0..self.members.len() {
            let factor = slow.map_or(1.0, |(slow, now)| self.factor(place, slow, now));
            let weight = self.weight(place) * factor;
            total += weight;
            self.credits[place] += weight;
            if self.credits[place] > self.credits[richest] {
                richest = place;
            }
        }
        self.credits[richest] -= total;
        richest
    }
}
