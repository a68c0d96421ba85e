//! Choosing an endpoint.
//!
//! A [`Balancer`] is compiled from the endpoints of a cluster whenever they or their health change, so
//! that a choice costs a draw and a look-up.

mod group;
mod hashed;
mod load;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use self::group::Group;
use self::hashed::Hashed;
use self::load::Share;
use crate::cluster::{Balance, Cluster, SlowStart};
use crate::endpoint::{Endpoint, Health, Locality};

/// What the choice depends on, per endpoint, in the order of the endpoint set.
#[derive(Debug, Clone)]
pub struct Member {
    /// Where it is.
    pub address: SocketAddr,
    /// The name that it was given.
    pub hostname: Option<Arc<str>>,
    /// It is announced as healthy and not ejected.
    pub healthy: bool,
    /// Relative share, at least 1.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u32,
    /// Where it stands.
    pub locality: Option<Arc<Locality>>,
    /// When it came or came back; `None` when it has been there for long.
    pub since: Option<Duration>,
}

impl Member {
    /// An endpoint that may be ejected.
    pub fn new(endpoint: &Endpoint, ejected: bool, since: Option<Duration>) -> Self {
        Self {
            address: endpoint.address,
            hostname: endpoint.hostname.clone(),
            healthy: endpoint.health == Health::Healthy && !ejected,
            weight: endpoint.weight,
            priority: endpoint.priority,
            locality: endpoint.locality.clone(),
            since,
        }
    }
}

/// How endpoints of a cluster are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policy {
    /// How one of several is chosen.
    pub balance: Balance,
    /// As of [`Cluster::panic_threshold_percent`].
    pub panic_threshold_percent: u32,
    /// As of [`crate::EndpointSet::overprovisioning_percent`].
    pub overprovisioning_percent: u32,
    /// As of [`Cluster::locality_weighted`].
    pub locality_weighted: bool,
    /// As of [`Cluster::slow_start`].
    pub slow_start: Option<SlowStart>,
}

impl Policy {
    /// That of a cluster; the second is of its endpoint set.
    pub fn new(cluster: &Cluster, overprovisioning_percent: u32) -> Self {
        Self {
            balance: cluster.balance,
            panic_threshold_percent: cluster.panic_threshold_percent,
            overprovisioning_percent,
            locality_weighted: cluster.locality_weighted,
            slow_start: cluster.slow_start,
        }
    }
}

/// How often a draw is repeated to find an endpoint that was not tried yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Avoid<'a> {
    /// Indexes of endpoints that this request was sent to before.
    pub tried: &'a [usize],
    /// Draws after the first; 0 does not avoid. Source: Envoy `host_selection_retry_max_attempts`.
    pub attempts: u32,
}

/// What one choice depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The request's hash ([`crate::resolve::Target::hash`]); without one a hashing balancer draws.
    pub hash: Option<u64>,
    /// Endpoints to avoid.
    pub avoid: Avoid<'a>,
    /// Now; only looked at for endpoints in slow start.
    pub now: Duration,
}

/// The endpoints of a cluster, ready to choose from.
#[derive(Debug, Default)]
pub struct Balancer {
    policy: Policy,
    levels: Vec<Level>,
    /// Share of each level, summing to 100.
    shares: Vec<Share>,
    /// Choices made in turn; outlives [`Balancer::rebuild`].
    turn: u64,
}

/// The endpoints of one priority.
#[derive(Debug)]
struct Level {
    /// Those to choose from, in all localities.
    all: Group,
    /// Those of each locality with its weight, where localities are weighed.
    localities: Vec<(f64, Group)>,
    hashed: Option<Hashed>,
}

impl Balancer {
    /// Compiles again, after a change of endpoints, their health or the policy. Indexes that
    /// [`Balancer::pick`] gives are positions in `members`.
    pub fn rebuild(&mut self, policy: Policy, members: &[Member]) {
        let overprovisioning = match policy.overprovisioning_percent {
            0 => 140,
            percent => percent,
        };
        self.shares = load::shares(members, overprovisioning, policy.panic_threshold_percent);
        self.policy = policy;
        self.levels = (0..)
            .zip(&self.shares)
            .map(|(priority, share)| {
                Level::new(&policy, members, priority, share.panic, overprovisioning)
            })
            .collect();
    }

    /// Index of the endpoint that gets the next request; `None` when there is none (flag UH).
    ///
    /// `active` gives the requests under way to an endpoint.
    ///
    /// Source: Envoy `LoadBalancerBase::chooseHostSet`, `EdfLoadBalancerBase`, `ThreadAwareLoadBalancerBase`.
    /// Differs where localities are weighed: one is drawn each time, not in turn.
    pub fn pick(
        &mut self,
        ask: &Ask<'_>,
        active: impl Fn(usize) -> u32,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let hash = match ask.hash {
            Some(hash) if self.policy.balance.is_hashing() => hash,
            _ if self.policy.balance.is_hashing() || self.shares.len() > 1 => rng.random(),
            _ => 0,
        };
        let mut chosen = None;
        for attempt in 0..=ask.avoid.attempts {
            // Other balancers draw the priority again, too.
            let hash = match attempt {
                0 => hash,
                _ if self.policy.balance.is_hashing() || self.shares.len() < 2 => hash,
                _ => rng.random(),
            };
            let level = load::level(&self.shares, hash)?;
            let level = self.levels.get_mut(level)?;
            let index = if let Some(hashed) = &level.hashed {
                hashed.pick(hash, attempt)
            } else {
                let slow = self.policy.slow_start.as_ref().map(|it| (it, ask.now));
                let group = level.group(rng);
                group.pick(self.policy.balance, slow, &mut self.turn, &active, rng)
            }?;
            chosen = Some(index);
            if !ask.avoid.tried.contains(&index) {
                break;
            }
        }
        chosen
    }
}

impl Level {
    fn new(
        policy: &Policy,
        members: &[Member],
        priority: u32,
        panic: bool,
        overprovisioning: u32,
    ) -> Self {
        let here: Vec<_> = (members.iter().enumerate())
            .filter(|(_, member)| member.priority == priority)
            .collect();
        // In the order of their names, as Envoy has them.
        let mut places: BTreeMap<_, Vec<Indexed<'_>>> = BTreeMap::new();
        for (index, member) in &here {
            let place = places.entry(place_of(member)).or_default();
            place.push((*index, *member));
        }
        let weighed = || {
            places.values().map(|all| {
                let locality = all.first().and_then(|(_, it)| it.locality.as_ref());
                (locality.map_or(0, |it| it.weight), all)
            })
        };
        if policy.balance.is_hashing() {
            let groups: Vec<_> = if policy.locality_weighted {
                weighed()
                    .map(|(weight, all)| (weight, usable(all, panic)))
                    .collect()
            } else {
                vec![(1, usable(&here, panic))]
            };
            return Self {
                all: Group::default(),
                localities: Vec::new(),
                hashed: Some(Hashed::new(policy.balance, &groups)),
            };
        }
        let localities = weighed().map(|(weight, all)| {
            let group = Group::new(&usable(all, panic));
            let weight = load::effective(weight, group.len(), all.len(), overprovisioning);
            (weight, group)
        });
        Self {
            localities: if policy.locality_weighted && !panic {
                localities.filter(|(weight, _)| *weight > 0.0).collect()
            } else {
                Vec::new()
            },
            all: Group::new(&usable(&here, panic)),
            hashed: None,
        }
    }

    /// The endpoints to choose from this time: those of a locality drawn by weight, or all.
    fn group(&mut self, rng: &mut impl Rng) -> &mut Group {
        let total: f64 = self.localities.iter().map(|(weight, _)| weight).sum();
        if total <= 0.0 {
            return &mut self.all;
        }
        let mut drawn = rng.random_range(0.0..total);
        let found = self.localities.iter().position(|(weight, _)| {
            drawn -= weight;
            drawn < 0.0
        });
        let last = self.localities.len() - 1;
        &mut self.localities[found.unwrap_or(last)].1
    }
}

/// An endpoint with its position in the cluster.
type Indexed<'m> = (usize, &'m Member);

/// Those to choose from.
fn usable<'m>(all: &[Indexed<'m>], panic: bool) -> Vec<Indexed<'m>> {
    let usable = all.iter().filter(|(_, member)| panic || member.healthy);
    usable.copied().collect()
}

/// What tells localities apart; their weight does not.
fn place_of(member: &Member) -> Option<(&str, &str, &str)> {
    let it = member.locality.as_ref()?;
    Some((&it.region, &it.zone, &it.sub_zone))
}

#[cfg(test)]
mod tests;
