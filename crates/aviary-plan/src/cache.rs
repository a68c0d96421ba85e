//! The planners' view of all objects: fed by watches and, at once, by the planners' own writes.
//!
//! Own writes are put in before the watch reports them, so a planner never repeats a write because
//! its view is stale. Resource versions decide which of two forms of an object is newer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Event, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

use crate::kind::{self, Kind};

mod graph;
mod store;
#[cfg(test)]
mod tests;

pub use graph::{Dependent, Entry, Graph};
pub use store::Store;

/// What happened to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A watch or list reported it.
    Watch,
    /// The answer to an own write.
    Write,
}

/// All objects that planners look at, by kind.
#[derive(Debug, Default)]
pub struct Cache {
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// `ReplicaSets`.
    pub replica_sets: Store<ReplicaSet>,
    /// Pods.
    pub pods: Store<Pod>,
    /// Services.
    pub services: Store<Service>,
    /// `EndpointSlices`.
    pub endpoint_slices: Store<EndpointSlice>,
    /// Endpoints.
    pub endpoints: Store<Endpoints>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Leases.
    pub leases: Store<Lease>,
    /// Namespaces.
    pub namespaces: Store<Namespace>,
    /// Events.
    pub events: Store<Event>,
    /// Metadata of every object of every kind.
    pub graph: Graph,
    /// When each lease was last seen to change, by (namespace, name); by our clock, not its holder's.
    pub renewals: BTreeMap<(String, String), Timestamp>,
    seen: HashMap<Kind, u64>,
    gone: HashSet<String>,
}

/// An object that changed, with what it was before and is now.
#[derive(Clone, Debug)]
pub struct Change {
    /// Kind of the object.
    pub kind: Kind,
    /// Its metadata before; `None` if it is new.
    pub old: Option<Arc<Entry>>,
    /// Its metadata now; `None` if it is gone.
    pub new: Option<Arc<Entry>>,
}

impl Cache {
    /// Takes in an object; `None` if what is known already is as new or newer.
    pub fn apply(
        &mut self,
        kind: &Kind,
        object: &Value,
        origin: Origin,
        now: Timestamp,
    ) -> Option<Change> {
        let entry = Arc::new(Entry::of(kind, object)?);
        let seen = self.seen.entry(kind.clone()).or_default();
        match origin {
            Origin::Watch => *seen = (*seen).max(entry.version),
            // The watch went past this version, so it has reported the object and its successors.
            Origin::Write if entry.version <= *seen => return None,
            Origin::Write => {}
        }
        if self.gone.contains(&entry.uid) {
            return None;
        }
        let old = self.graph.get(kind, &entry.namespace, &entry.name);
        if old
            .as_ref()
            .is_some_and(|old| old.uid == entry.uid && old.version >= entry.version)
        {
            return None;
        }
        if !self.put(kind, &entry, object) {
            return None;
        }
        if kind.same_kind("coordination.k8s.io", "Lease") {
            self.renewals
                .insert((entry.namespace.clone(), entry.name.clone()), now);
        }
        self.graph.put(Arc::clone(&entry));
        Some(Change {
            kind: kind.clone(),
            old,
            new: Some(entry),
        })
    }

    /// Takes out an object; `version` is that of the deletion where known.
    ///
    /// After an own deletion (`origin` is [`Origin::Write`]) late reports about it are ignored.
    pub fn remove(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        uid: &str,
        version: u64,
        origin: Origin,
    ) -> Option<Change> {
        if origin == Origin::Watch {
            let seen = self.seen.entry(kind.clone()).or_default();
            *seen = (*seen).max(version);
            self.gone.remove(uid);
        }
        let old = self.graph.get(kind, namespace, name)?;
        if !uid.is_empty() && old.uid != uid {
            return None;
        }
        if origin == Origin::Write {
            self.gone.insert(old.uid.clone());
        }
        self.graph.remove(&old);
        self.take(kind, namespace, name);
        Some(Change {
            kind: kind.clone(),
            old: Some(old),
            new: None,
        })
    }

    /// Replaces all objects of a kind by the outcome of a list.
    pub fn replace(&mut self, kind: &Kind, objects: &[Value], now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut listed = Vec::with_capacity(objects.len());
        for object in objects {
            if let Some(entry) = Entry::of(kind, object) {
                listed.push(entry.uid);
            }
        }
        listed.sort_unstable();
        for old in self.graph.of_kind(kind) {
            if listed.binary_search(&old.uid).is_err() {
                let (namespace, name) = (old.namespace.clone(), old.name.clone());
                changes.extend(self.remove(
                    kind,
                    &namespace,
                    &name,
                    &old.uid,
                    old.version,
                    Origin::Watch,
                ));
            }
        }
        for object in objects {
            changes.extend(self.apply(kind, object, Origin::Watch, now));
        }
        changes
    }

    fn put(&mut self, kind: &Kind, entry: &Entry, object: &Value) -> bool {
        let (namespace, name) = (&entry.namespace, &entry.name);
        match kind {
            k if *k == kind::DEPLOYMENT => self.deployments.put(namespace, name, object),
            k if *k == kind::REPLICA_SET => self.replica_sets.put(namespace, name, object),
            k if *k == kind::POD => self.pods.put(namespace, name, object),
            k if *k == kind::SERVICE => self.services.put(namespace, name, object),
            k if *k == kind::ENDPOINT_SLICE => self.endpoint_slices.put(namespace, name, object),
            k if *k == kind::ENDPOINTS => self.endpoints.put(namespace, name, object),
            k if *k == kind::NODE => self.nodes.put(namespace, name, object),
            k if *k == kind::LEASE => self.leases.put(namespace, name, object),
            k if *k == kind::NAMESPACE => self.namespaces.put(namespace, name, object),
            k if *k == kind::EVENT => self.events.put(namespace, name, object),
            _ => true,
        }
    }

    fn take(&mut self, kind: &Kind, namespace: &str, name: &str) {
        match kind {
            k if *k == kind::DEPLOYMENT => self.deployments.take(namespace, name),
            k if *k == kind::REPLICA_SET => self.replica_sets.take(namespace, name),
            k if *k == kind::POD => self.pods.take(namespace, name),
            k if *k == kind::SERVICE => self.services.take(namespace, name),
            k if *k == kind::ENDPOINT_SLICE => self.endpoint_slices.take(namespace, name),
            k if *k == kind::ENDPOINTS => self.endpoints.take(namespace, name),
            k if *k == kind::NODE => self.nodes.take(namespace, name),
            k if *k == kind::LEASE => {
                self.renewals
                    .remove(&(namespace.to_owned(), name.to_owned()));
                self.leases.take(namespace, name);
            }
            k if *k == kind::NAMESPACE => self.namespaces.take(namespace, name),
            k if *k == kind::EVENT => self.events.take(namespace, name),
            _ => {}
        }
    }
}
