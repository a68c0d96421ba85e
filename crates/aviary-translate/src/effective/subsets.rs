//! Versions as declared subsets.

use std::collections::{BTreeMap, BTreeSet};

use aviary_api::{
    DestinationRule, ROOT_NAMESPACE,
    destination_rule::{DestinationRuleSpec, Subset},
    names,
};

use super::{meta, unused};
use crate::{
    ObjectKey, Snapshot,
    destination_rule::in_namespace,
    overlay::{Guard, exactly, labels},
};

/// The rules of the guarded Service with a subset for every version.
pub(super) struct Subsets {
    rules: Vec<DestinationRule>,
    /// Names by version.
    names: BTreeMap<String, String>,
}

impl Subsets {
    pub(super) fn new(snapshot: &Snapshot, guard: &Guard) -> Self {
        let namespaces = namespaces(snapshot, guard);
        let mut rules: Vec<DestinationRule> = namespaces
            .iter()
            .map(|namespace| rule(snapshot, guard, namespace))
            .collect();
        let mut names = BTreeMap::new();
        for version in guard.versions() {
            let name = name(&rules, version);
            for rule in &mut rules {
                if rule.spec.subsets.iter().all(|known| known.name != name) {
                    rule.spec.subsets.push(Subset {
                        name: name.clone(),
                        labels: labels(version),
                        traffic_policy: None,
                    });
                }
            }
            names.insert(version.to_owned(), name);
        }
        Self { rules, names }
    }

    /// The subset where a version answers in the place of `subset`.
    pub(super) fn name(&self, subset: &str, version: &str) -> String {
        let mut own = self.rules.iter().map(|rule| &rule.spec.subsets);
        let has_policy = |known: &Subset| {
            known.name == subset
                && exactly(&known.labels, version)
                && known.traffic_policy.is_some()
        };
        if own.any(|subsets| subsets.iter().any(has_policy)) {
            return subset.to_owned();
        }
        self.names.get(version).cloned().unwrap_or_default()
    }

    pub(super) fn into_rules(self) -> Vec<DestinationRule> {
        self.rules
    }
}

/// Namespaces whose clients see rules of their own, and that of the Service.
fn namespaces(snapshot: &Snapshot, guard: &Guard) -> BTreeSet<String> {
    let own = names::split_service_host(&guard.host).map(|(_, namespace)| namespace.to_owned());
    let rules = snapshot.destination_rules.iter();
    let covering = rules.filter(|(key, entry)| {
        let pattern = names::expand_host(&entry.spec.host, &key.namespace);
        names::host_covers(&pattern, &guard.host)
    });
    let namespaces = covering.map(|(key, _)| key.namespace.clone());
    namespaces.chain(own).collect()
}

/// What holds in a namespace, as one object for exactly the Service.
fn rule(snapshot: &Snapshot, guard: &Guard, namespace: &str) -> DestinationRule {
    let host = guard.host.as_str();
    let found = in_namespace(snapshot, namespace, host);
    let found = found.or_else(|| in_namespace(snapshot, ROOT_NAMESPACE, host));
    let found = found.unwrap_or_default();
    let entries = snapshot.destination_rules.values();
    let exact = entries
        .filter(|entry| {
            entry.key.namespace == namespace
                && names::expand_host(&entry.spec.host, namespace) == host
        })
        .min_by(|a, b| a.age().cmp(&b.age()));
    let key = match exact {
        Some(entry) => entry.key.clone(),
        None => unused(&ObjectKey::new(namespace, guard.key.name.clone()), |key| {
            snapshot.destination_rules.contains_key(key)
        }),
    };
    DestinationRule {
        metadata: meta(&key),
        spec: DestinationRuleSpec {
            host: exact.map_or_else(|| host.to_owned(), |entry| entry.spec.host.clone()),
            traffic_policy: found.policy.cloned(),
            subsets: found.subsets.into_iter().cloned().collect(),
        },
    }
}

/// A name that means this version, without a policy of its own, in all rules that have it.
fn name(rules: &[DestinationRule], version: &str) -> String {
    let plain = version.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let is_free = |name: &String| {
        let mut all = rules.iter().flat_map(|rule| &rule.spec.subsets);
        all.all(|known| {
            known.name != *name
                || (exactly(&known.labels, version) && known.traffic_policy.is_none())
        })
    };
    let mut names = std::iter::successors(Some(plain), |name| Some(format!("release-{name}")));
    names.find(is_free).unwrap_or_default()
}
