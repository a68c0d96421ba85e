//! By the request's hash: a ring, or a table after Maglev.

use std::cmp::Ordering;

use super::{Indexed, Member};
use crate::cluster::Balance;
use crate::xxhash::xxhash64;

/// Endpoints placed by their hashes.
#[derive(Debug)]
pub(super) enum Hashed {
    /// Places by hash, in order.
    Ring(Box<[(u64, u32)]>),
    /// The endpoint of each place.
    Table(Box<[u32]>),
}

/// An endpoint with its share; all sum to 1.
struct Weighted<'m> {
    index: u32,
    key: String,
    member: &'m Member,
    weight: f64,
}

/// Endpoints of a locality, with its weight.
type Locality<'m> = (u32, Vec<Indexed<'m>>);

impl Hashed {
    /// Places the endpoints of localities.
    ///
    /// Source: Envoy `normalizeWeights`.
    pub(super) fn new(balance: Balance, localities: &[Locality<'_>]) -> Self {
        let all: u64 = localities
            .iter()
            .map(|(weight, _)| u64::from(*weight))
            .sum();
        let mut weighted = Vec::new();
        for (share, members) in localities {
            let sum: u64 = members.iter().map(|it| weight(it.1)).sum();
            if *share == 0 {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "sums of 32-bit weights")]
            let (locality, sum) = (f64::from(*share) / all as f64, sum as f64);
            for (index, member) in members {
                #[expect(clippy::cast_precision_loss, reason = "a weight has 32 bits")]
                let weight = weight(member) as f64 * locality / sum;
                weighted.push(Weighted {
                    index: u32::try_from(*index).unwrap_or(u32::MAX),
                    key: key(balance, member),
                    member,
                    weight,
                });
            }
        }
        match balance {
            Balance::Maglev { table, .. } => Self::Table(table_of(weighted, table)),
            Balance::RingHash { min, max, .. } => Self::Ring(ring_of(&weighted, min, max)),
            _ => Self::Ring(Box::default()),
        }
    }

    /// The endpoint for a hash; further attempts give others.
    ///
    /// Source: Envoy `Ring::chooseHost`, `MaglevTable::chooseHost`.
    pub(super) fn pick(&self, hash: u64, attempt: u32) -> Option<usize> {
        let index = match self {
            Self::Ring(ring) => {
                let place = ring.partition_point(|(at, _)| *at < hash) % ring.len().max(1);
                let place = (place + attempt as usize) % ring.len().max(1);
                ring.get(place)?.1
            }
            Self::Table(table) => {
                let hash = match attempt {
                    0 => hash,
                    attempt => hash ^ u64::from(attempt).wrapping_neg(),
                };
                let place = hash.checked_rem(table.len() as u64)?;
                *table.get(usize::try_from(place).ok()?)?
            }
        };
        Some(index as usize)
    }
}

fn weight(member: &Member) -> u64 {
    u64::from(member.weight.max(1))
}

fn key(balance: Balance, member: &Member) -> String {
    let by_name = match balance {
        Balance::RingHash { by_hostname, .. } | Balance::Maglev { by_hostname, .. } => by_hostname,
        _ => false,
    };
    let name = member.hostname.as_ref().filter(|_| by_name);
    name.map_or_else(|| member.address.to_string(), ToString::to_string)
}

/// Every endpoint gets places in proportion to its weight, so many that the lightest one gets whole
/// ones.
///
/// Source: Envoy `RingHashLoadBalancer::Ring`.
#[expect(clippy::cast_precision_loss, reason = "ring sizes are below 2^52")]
fn ring_of(weighted: &[Weighted<'_>], min: u64, max: u64) -> Box<[(u64, u32)]> {
    let least = weighted.iter().map(|it| it.weight).fold(1.0, f64::min);
    let scale = ((least * min as f64).ceil() / least).min(max as f64);
    let mut ring = Vec::new();
    let (mut current, mut target) = (0.0, 0.0);
    for endpoint in weighted {
        target += scale * endpoint.weight;
        let mut number = 0_u64;
        while current < target {
            let text = format!("{}_{number}", endpoint.key);
            ring.push((xxhash64(text.as_bytes(), 0), endpoint.index));
            number += 1;
            current += 1.0;
        }
    }
    ring.sort_by_key(|(hash, _)| *hash);
    ring.into_boxed_slice()
}

/// An endpoint that fills the table.
struct Entry {
    index: u32,
    at: u64,
    skip: u64,
    weight: f64,
    target: f64,
}

/// Endpoints fill the table in turn, each along a permutation of its own.
///
/// Source: Envoy `MaglevTable::constructMaglevTableInternal`.
fn table_of(mut weighted: Vec<Weighted<'_>>, size: u64) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let Ok(length) = usize::try_from(size) else {
        return Box::default();
    };
    if weighted.is_empty() {
        return Box::default();
    }
    weighted.sort_by(|a, b| match a.key.cmp(&b.key) {
        Ordering::Equal => a.member.address.cmp(&b.member.address),
        order => order,
    });
    let mut entries: Vec<_> = weighted
        .iter()
        .map(|it| Entry {
            index: it.index,
            at: xxhash64(it.key.as_bytes(), 0) % size,
            skip: xxhash64(it.key.as_bytes(), 1) % (size - 1) + 1,
            weight: it.weight,
            target: 0.0,
        })
        .collect();
    let heaviest = weighted.iter().map(|it| it.weight).fold(0.0, f64::max);
    let mut table = vec![FREE; length];
    let mut left = length;
    for iteration in 1_u32.. {
        for entry in &mut entries {
            if left == 0 {
                return table.into_boxed_slice();
            }
            if f64::from(iteration) * entry.weight < entry.target {
                continue;
            }
            entry.target += heaviest;
            let mut place = place_of(entry.at);
            while table[place] != FREE {
                entry.at = (entry.at + entry.skip) % size;
                place = place_of(entry.at);
            }
            table[place] = entry.index;
            entry.at = (entry.at + entry.skip) % size;
            left -= 1;
        }
    }
    table.into_boxed_slice()
}

/// A place in the table, whose length was a `usize`.
fn place_of(at: u64) -> usize {
    usize::try_from(at).unwrap_or(0)
}
