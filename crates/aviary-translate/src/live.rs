//! Which form of each `VirtualService` is in force: an unknown destination never takes down
//! routes that work.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aviary_api::{
    ROOT_NAMESPACE,
    destination_rule::{Subset, TrafficPolicy},
    names,
    virtual_service::VirtualServiceSpec,
};
use serde::{Deserialize, Serialize};

use crate::{ObjectKey, Snapshot, destination_rule, snapshot::Entry};

/// The last form of a `VirtualService` of which all destinations were known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastGood {
    /// Its specification then.
    pub spec: Arc<VirtualServiceSpec>,
    /// The subsets that it used, as they were.
    pub subsets: Vec<SubsetForm>,
}

/// A subset of a host with what was in force for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubsetForm {
    /// Full name of the Service.
    pub host: String,
    /// The subset.
    pub subset: Subset,
    /// The policy of its rule.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Subsets that are no longer declared but that routes in force still use, by host and name.
pub(crate) type Retained = BTreeMap<(String, String), SubsetForm>;

/// What is in force for a `VirtualService`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Live {
    /// The form in force.
    pub(crate) spec: Arc<VirtualServiceSpec>,
    /// Destinations of the present form that are not known.
    pub(crate) missing: Vec<Missing>,
    /// Nothing of it was ever in force: where a Service has working default routes, they stay.
    pub(crate) pending: bool,
}

/// A destination that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Path of the destination, e.g. `spec.http[0].route[0].destination`.
    pub path: String,
    /// Full name of the host.
    pub host: String,
    /// The subset, when the host is known and the subset is not.
    pub subset: Option<String>,
}

impl Snapshot {
    /// Decides which form of every `VirtualService` is in force, from the present objects and
    /// what was in force before. Call it after changes and before [`crate::translate`].
    pub fn settle(&mut self) {
        let mut retained = Retained::new();
        let mut live = imbl::OrdMap::new();
        let entries: Vec<Arc<Entry<VirtualServiceSpec>>> =
            self.virtual_services.values().cloned().collect();
        for entry in entries {
            let (missing, subsets) = self.look_up(&entry.key, &entry.spec);
            let state = if missing.is_empty() {
                let good = LastGood {
                    spec: Arc::clone(&entry.spec),
                    subsets,
                };
                if self
                    .last_good
                    .get(&entry.key)
                    .is_none_or(|known| **known != good)
                {
                    self.last_good.insert(entry.key.clone(), Arc::new(good));
                }
                Live {
                    spec: Arc::clone(&entry.spec),
                    missing,
                    pending: false,
                }
            } else if let Some(good) = self.last_good.get(&entry.key).cloned() {
                let (_, present) = self.look_up(&entry.key, &good.spec);
                for form in &good.subsets {
                    let known = present
                        .iter()
                        .any(|now| now.host == form.host && now.subset.name == form.subset.name);
                    if !known {
                        let key = (form.host.clone(), form.subset.name.clone());
                        retained.entry(key).or_insert_with(|| form.clone());
                    }
                }
                Live {
                    spec: Arc::clone(&good.spec),
                    missing,
                    pending: false,
                }
            } else {
                Live {
                    spec: Arc::clone(&entry.spec),
                    missing,
                    pending: true,
                }
            };
            live.insert(entry.key.clone(), Arc::new(state));
        }
        self.live = live;
        self.retained = Arc::new(retained);
        self.settle_guards();
    }

    /// The destinations of `spec` that are not known, and the subsets that are.
    fn look_up(
        &self,
        key: &ObjectKey,
        spec: &VirtualServiceSpec,
    ) -> (Vec<Missing>, Vec<SubsetForm>) {
        let mut missing = Vec::new();
        let mut subsets: Vec<SubsetForm> = Vec::new();
        for (path, destination) in spec.destinations() {
            let host = names::expand_host(&destination.host, &key.namespace);
            if self.service_of_host(&host).is_none() {
                missing.push(Missing {
                    path,
                    host,
                    subset: None,
                });
                continue;
            }
            if destination.subset.is_empty() {
                continue;
            }
            match self.find_subset(&key.namespace, &host, &destination.subset) {
                Some(form) if subsets.contains(&form) => {}
                Some(form) => subsets.push(form),
                None => {
                    let subset = Some(destination.subset.clone());
                    missing.push(Missing { path, host, subset });
                }
            }
        }
        (missing, subsets)
    }

    /// The subset as any client of the mesh may see it: declared in the namespace of the route,
    /// of the Service, or of the mesh.
    fn find_subset(&self, namespace: &str, host: &str, name: &str) -> Option<SubsetForm> {
        let service = self.service_of_host(host)?;
        [namespace, &service.key.namespace, ROOT_NAMESPACE]
            .into_iter()
            .find_map(|namespace| {
                let rule = destination_rule::in_namespace(self, namespace, host)?;
                let subset = rule.subsets.iter().find(|subset| subset.name == name)?;
                Some(SubsetForm {
                    host: host.to_owned(),
                    subset: (*subset).clone(),
                    traffic_policy: rule.policy.cloned(),
                })
            })
    }
}

type Rules<'a> = (&'a ObjectKey, &'a VirtualServiceSpec);

impl Snapshot {
    /// The forms in force, older objects first.
    pub(crate) fn live_by_age(&self) -> Vec<Rules<'_>> {
        let mut entries: Vec<_> = self.virtual_services.values().collect();
        entries.sort_by(|a, b| a.age().cmp(&b.age()));
        let live = entries.into_iter().filter_map(|entry| {
            self.live
                .get(&entry.key)
                .map(|live| (&entry.key, live.spec.as_ref()))
        });
        live.collect()
    }

    /// The object whose rules hold in the mesh for a host: the most specific host wins, then the
    /// oldest object. Rules that never were in force do not displace a Service's default route.
    pub(crate) fn mesh_owner(&self, host: &str) -> Option<Rules<'_>> {
        let is_service = self.service_of_host(host).is_some();
        self.best_for(host, |key| {
            !is_service || self.live.get(key).is_some_and(|live| !live.pending)
        })
    }

    /// The object that has the say for exactly this host in the mesh, in force or not.
    pub(crate) fn mesh_holder(&self, host: &str) -> Option<&ObjectKey> {
        let live = self.live_by_age();
        live.into_iter()
            .find(|(key, _)| self.names_mesh_host(key, host))
            .map(|(key, _)| key)
    }

    /// Whether the object names this host for the mesh.
    pub(crate) fn names_mesh_host(&self, key: &ObjectKey, host: &str) -> bool {
        let Some(entry) = self.virtual_services.get(key) else {
            return false;
        };
        is_mesh(key, &entry.spec)
            && entry
                .spec
                .hosts
                .iter()
                .any(|own| names::expand_host(own, &key.namespace) == host)
    }

    /// All hosts that rules name for the mesh, sorted.
    pub(crate) fn mesh_hosts(&self) -> BTreeSet<String> {
        let live = self
            .live_by_age()
            .into_iter()
            .filter(|(key, spec)| is_mesh(key, spec));
        live.flat_map(|(key, spec)| {
            spec.hosts
                .iter()
                .map(|host| names::expand_host(host, &key.namespace))
        })
        .collect()
    }

    fn best_for(&self, host: &str, counts: impl Fn(&ObjectKey) -> bool) -> Option<Rules<'_>> {
        let mut best: Option<((bool, usize), Rules<'_>)> = None;
        for (key, spec) in self.live_by_age() {
            if !is_mesh(key, spec) || !counts(key) {
                continue;
            }
            let own = spec
                .hosts
                .iter()
                .map(|own| names::expand_host(own, &key.namespace));
            let rank = own
                .filter(|own| names::host_covers(own, host))
                .map(|own| names::host_rank(&own))
                .max();
            if let Some(rank) = rank
                && best.as_ref().is_none_or(|(known, _)| rank > *known)
            {
                best = Some((rank, (key, spec)));
            }
        }
        best.map(|(_, rules)| rules)
    }
}

fn is_mesh(key: &ObjectKey, spec: &VirtualServiceSpec) -> bool {
    crate::virtual_service::is_bound(key, spec, &BTreeSet::from([names::MESH_GATEWAY.to_owned()]))
}
