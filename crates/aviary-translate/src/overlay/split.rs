//! Branches of a route by version.

use aviary_api::release::{Affinity as Wanted, WHOLE};
use aviary_mesh::{
    listener::TcpBranch,
    route::{Affinity, Forward, HashCookie, HashOf, Mirror, WeightedCluster},
};

use super::{Chosen, Guard, versions};
use crate::{
    cluster,
    virtual_service::{ALONE, Scope, Target, hashes},
};

/// What the branches of a route become.
pub(super) struct Split<'a> {
    parts: Vec<Part<'a>>,
}

/// One branch after the split.
struct Part<'a> {
    /// Position of the branch that it is part of.
    of: usize,
    target: Target,
    weight: u64,
    /// Whose version it is, and which.
    version: Option<(&'a Guard, &'a str)>,
    /// The user's subset whose policy it has.
    policy: String,
}

impl<'a> Split<'a> {
    /// Splits branches, which are names of clusters with weights. Each keeps its share of the
    /// whole; within it, versions have theirs.
    pub(super) fn new(scope: &Scope<'a>, branches: &[(&str, u32)], chosen: &Chosen<'a>) -> Self {
        let mut parts = Vec::new();
        for (of, (name, weight)) in branches.iter().enumerate() {
            let Some((port, subset, host)) = cluster::outbound_parts(name) else {
                // Such as `PassthroughCluster`; they are the only branch of their route.
                continue;
            };
            let part = |subset: String, share: u32, version| Part {
                of,
                target: Target {
                    host: host.to_owned(),
                    subset,
                    port,
                },
                weight: u64::from(*weight) * u64::from(share),
                version,
                policy: String::new(),
            };
            let Some(guard) = scope.snapshot.guard(host) else {
                parts.push(Part {
                    policy: subset.to_owned(),
                    ..part(subset.to_owned(), WHOLE, None)
                });
                continue;
            };
            let shares = match chosen.get(host) {
                Some(version) => vec![(*version, WHOLE)],
                None => guard.live_shares(),
            };
            for (version, share) in shares {
                let own = versions::own_policy(scope, guard, subset, version);
                parts.push(Part {
                    policy: own.unwrap_or_default().to_owned(),
                    ..part(
                        versions::name(scope, guard, subset, version),
                        share,
                        Some((guard, version)),
                    )
                });
            }
        }
        let mut weights: Vec<u64> = parts.iter().map(|part| part.weight).collect();
        reduce(&mut weights);
        for (part, weight) in parts.iter_mut().zip(weights) {
            part.weight = weight;
        }
        Self { parts }
    }

    /// Copies for the version under trial: of requests to the other versions, and of no others.
    pub(super) fn mirrors(&self, guard: &Guard) -> Vec<Mirror> {
        let Some(wanted) = guard.overlay.mirror.as_ref().filter(|it| it.parts > 0) else {
            return Vec::new();
        };
        let mut mirrors: Vec<Mirror> = Vec::new();
        for part in &self.parts {
            match part.version {
                Some((own, version)) if own.key == guard.key && version != wanted.version => {}
                _ => continue,
            }
            let cluster = versions::copies(part.target.port, &wanted.version, &guard.host);
            let from = part.name();
            match mirrors.iter_mut().find(|known| known.cluster == cluster) {
                Some(known) => known.only_from.push(from),
                None => mirrors.push(Mirror {
                    cluster,
                    percent: f64::from(wanted.parts) / f64::from(WHOLE / 100),
                    shadow_host: true,
                    only_from: vec![from],
                }),
            }
        }
        if let [only] = mirrors.as_mut_slice()
            && only.only_from.len() == self.parts.len()
        {
            only.only_from.clear();
        }
        mirrors
    }

    /// Gives an action these branches.
    pub(super) fn apply(self, scope: &Scope<'_>, forward: &mut Forward) {
        let mut targets = Vec::new();
        let mut clusters = Vec::new();
        for part in &self.parts {
            let Some(branch) = forward.clusters.get(part.of) else {
                continue;
            };
            clusters.push(WeightedCluster {
                name: part.name(),
                weight: weight(part.weight),
                ..branch.clone()
            });
            let target = Target {
                subset: part.policy.clone(),
                ..part.target.clone()
            };
            targets.push(target);
        }
        forward.clusters = clusters;
        forward.hash = hashes(scope, targets);
        forward.affinity = self.affinity();
    }

    fn affinity(&self) -> Vec<Affinity> {
        let mut first = 0;
        let mut found = Vec::new();
        for run in self.parts.chunk_by(|a, b| a.of == b.of) {
            let count = position(run.len());
            if let [
                Part {
                    version: Some((guard, _)),
                    ..
                },
                _,
                ..,
            ] = run
                && let Some(of) = guard.overlay.affinity.as_ref().and_then(client)
            {
                let salt = guard.overlay.salt.clone();
                found.push(Affinity {
                    first,
                    count,
                    of,
                    salt,
                });
            }
            first += count;
        }
        found
    }
}

impl Part<'_> {
    fn name(&self) -> String {
        cluster::outbound_name(self.target.port, &self.target.subset, &self.target.host)
    }
}

/// Branches of connections by version.
pub(crate) fn tcp(scope: &Scope<'_>, branches: Vec<TcpBranch>) -> Vec<TcpBranch> {
    let all: Vec<(&str, u32)> = branches
        .iter()
        .map(|branch| (branch.cluster.as_str(), branch.weight))
        .collect();
    let split = Split::new(scope, &all, &Chosen::new());
    if split.parts.iter().all(|part| part.version.is_none()) {
        return branches;
    }
    let parts = split.parts.iter().map(|part| TcpBranch {
        cluster: part.name(),
        weight: weight(part.weight),
    });
    parts.collect()
}

/// What identifies a client.
fn client(wanted: &Wanted) -> Option<HashOf> {
    let header = wanted.header.as_ref();
    let header = header.map(|name| HashOf::Header(name.to_ascii_lowercase()));
    let cookie = wanted.cookie.as_ref().map(|name| {
        HashOf::Cookie(HashCookie {
            name: name.clone(),
            ..HashCookie::default()
        })
    });
    header.or(cookie)
}

/// Divides weights by what they have in common; Envoy's must add up to less than 2^32. Where that
/// is not enough they lose precision, of less than a millionth.
pub(crate) fn reduce(weights: &mut [u64]) {
    if let [only] = weights {
        *only = u64::from(ALONE);
        return;
    }
    let divisor = weights.iter().fold(0, |known, weight| gcd(known, *weight));
    for weight in &mut *weights {
        *weight /= divisor.max(1);
    }
    while weights.iter().sum::<u64>() > u64::from(u32::MAX) {
        for weight in weights.iter_mut().filter(|weight| **weight > 1) {
            *weight /= 2;
        }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A weight after [`reduce`].
fn weight(weight: u64) -> u32 {
    u32::try_from(weight).unwrap_or(u32::MAX)
}

fn position(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
