//! Which planner looks at which object, and which objects a change concerns.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cache::{Cache, Change, Entry};
use crate::kind::{self, Kind};
use crate::object::{self, is_controlled_by};
use crate::plan::{Action, Plan};
use crate::{
    deployment, endpoint_slice, endpoints, event, garbage, namespace, node_lifecycle, pod,
    replica_set, schedule,
};

#[cfg(test)]
mod tests;

/// A planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// [`schedule`], for pods.
    Schedule,
    /// [`replica_set`].
    ReplicaSet,
    /// [`deployment`].
    Deployment,
    /// [`endpoint_slice`], for Services.
    EndpointSlice,
    /// [`endpoints`], for Services.
    Endpoints,
    /// [`garbage`], for objects of any kind.
    Garbage,
    /// [`namespace`].
    Namespace,
    /// [`node_lifecycle`], for nodes.
    NodeLifecycle,
    /// [`event::expire`], for events.
    EventExpiry,
}

impl Controller {
    /// Whether plans of this controller make objects in the namespace of the planned one.
    fn creates(self) -> bool {
        matches!(
            self,
            Self::Deployment | Self::ReplicaSet | Self::EndpointSlice | Self::Endpoints
        )
    }
}

/// A unit of work: one planner, one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The planner.
    pub controller: Controller,
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace of the object; empty for kinds without namespaces.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl Key {
    fn new(controller: Controller, kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            controller,
            kind: kind.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Plans one unit of work. `failure` is the error that ended its last attempt, if any.
pub fn plan(cache: &Cache, key: &Key, failure: Option<&str>, now: Timestamp) -> Plan {
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    if key.controller.creates() && is_leaving(cache, namespace) {
        // The server refuses new objects there, and the old ones are being deleted anyway.
        return Plan::default();
    }
    match key.controller {
        Controller::Schedule => plan_schedule(cache, namespace, name, now),
        Controller::ReplicaSet => {
            let Some(set) = cache.replica_sets.get(namespace, name) else {
                return Plan::default();
            };
            let pods = cache.pods.in_namespace(namespace).cloned().collect();
            replica_set::plan(&replica_set::View { replica_set: &set, pods, failure }, now)
        }
        Controller::Deployment => {
            let Some(deployment) = cache.deployments.get(namespace, name) else {
                return Plan::default();
            };
            let replica_sets = cache.replica_sets.in_namespace(namespace).cloned().collect();
            let pods = cache.pods.in_namespace(namespace).cloned().collect();
            let view = deployment::View { deployment: &deployment, replica_sets, pods };
            deployment::plan(&view, now)
        }
        Controller::EndpointSlice => {
            let Some(service) = cache.services.get(namespace, name) else {
                return Plan::default();
            };
            let view = endpoint_slice::View {
                service: &service,
                pods: cache.pods.in_namespace(namespace).cloned().collect(),
                slices: cache.endpoint_slices.in_namespace(namespace).cloned().collect(),
                nodes: cache.nodes.all().cloned().collect(),
            };
            endpoint_slice::plan(&view, now)
        }
        Controller::Endpoints => plan_endpoints(cache, namespace, name, now),
        Controller::Garbage => cache
            .graph
            .get(&key.kind, namespace, name)
            .map(|entry| garbage::plan(&entry, &cache.graph))
            .unwrap_or_default(),
        Controller::Namespace => {
            let Some(object) = cache.namespaces.get("", name) else { return Plan::default() };
            let contents = if object.metadata.deletion_timestamp.is_some() {
                cache.graph.in_namespace(name)
            } else {
                Vec::new()
            };
            namespace::plan(&namespace::View { namespace: &object, contents })
        }
        Controller::NodeLifecycle => plan_node(cache, name, now),
        Controller::EventExpiry => {
            let found = cache.events.get(namespace, name);
            found.map(|found| event::expire(&found, now)).unwrap_or_default()
        }
    }
}

fn plan_schedule(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let Some(found) = cache.pods.get(namespace, name) else { return Plan::default() };
    if !schedule::is_waiting(&found) {
        return Plan::default();
    }
    let mut load: BTreeMap<String, usize> = BTreeMap::new();
    for other in cache.pods.all().filter(|other| pod::is_active(other)) {
        if let Some(node) = pod::node(other) {
            *load.entry(node.to_owned()).or_default() += 1;
        }
    }
    let nodes = cache.nodes.all().cloned().collect();
    schedule::plan(&schedule::View { pod: &found, nodes, load }, now)
}

fn plan_endpoints(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let endpoints = cache.endpoints.get(namespace, name);
    if let Some(service) = cache.services.get(namespace, name) {
        let pods = cache.pods.in_namespace(namespace).cloned().collect();
        return endpoints::plan(&endpoints::View { service: &service, pods, endpoints }, now);
    }
    let mut plan = Plan::default();
    if let Some(left) = endpoints.filter(|found| endpoints::is_managed(found)) {
        plan.actions.push(Action::Delete {
            target: object::target(&kind::ENDPOINTS, &left.metadata),
            propagation: None,
            unless_any: Vec::new(),
            event: None,
        });
    }
    plan
}

fn plan_node(cache: &Cache, name: &str, now: Timestamp) -> Plan {
    let Some(node) = cache.nodes.get("", name) else { return Plan::default() };
    let lease = ("kube-node-lease".to_owned(), name.to_owned());
    let pods = cache.pods.all().filter(|found| pod::node(found) == Some(name));
    let view = node_lifecycle::View {
        node: &node,
        renewed: cache.renewals.get(&lease).copied(),
        pods: pods.cloned().collect(),
    };
    node_lifecycle::plan(&view, now)
}

/// The units of work that a change concerns, without repetitions.
pub fn affected(cache: &Cache, change: &Change) -> Vec<Key> {
    let mut keys = Vec::new();
    for entry in change.old.iter().chain(&change.new) {
        concern_own(entry, &mut keys);
        concern_kind(cache, change, entry, &mut keys);
    }
    concern_garbage(cache, change, &mut keys);
    keys.sort();
    keys.dedup();
    keys
}

/// The planner for the object itself, and its controller's.
fn concern_own(entry: &Entry, keys: &mut Vec<Key>) {
    let (namespace, name) = (entry.namespace.as_str(), entry.name.as_str());
    let mut add = |controller| keys.push(Key::new(controller, &entry.kind, namespace, name));
    match &entry.kind {
        k if *k == kind::DEPLOYMENT => add(Controller::Deployment),
        k if *k == kind::REPLICA_SET => add(Controller::ReplicaSet),
        k if *k == kind::NAMESPACE => add(Controller::Namespace),
        k if *k == kind::NODE => add(Controller::NodeLifecycle),
        k if *k == kind::EVENT => add(Controller::EventExpiry),
        k if *k == kind::POD => add(Controller::Schedule),
        k if *k == kind::SERVICE => {
            add(Controller::EndpointSlice);
            add(Controller::Endpoints);
        }
        _ => {}
    }
    let Some(owner) = entry.controller() else { return };
    let (controller, kind) = match owner.kind.as_str() {
        "Deployment" => (Controller::Deployment, kind::DEPLOYMENT),
        "ReplicaSet" => (Controller::ReplicaSet, kind::REPLICA_SET),
        "Service" => (Controller::EndpointSlice, kind::SERVICE),
        _ => return,
    };
    keys.push(Key::new(controller, &kind, namespace, &owner.name));
}

/// What else looks at objects of this kind.
fn concern_kind(cache: &Cache, change: &Change, entry: &Entry, keys: &mut Vec<Key>) {
    let (namespace, name) = (entry.namespace.as_str(), entry.name.as_str());
    match &entry.kind {
        k if *k == kind::POD => {
            for service in cache.services.in_namespace(namespace) {
                let Some(selector) = endpoint_slice::selector_of(service) else { continue };
                if crate::selector::contains_all(selector, Some(&entry.labels)) {
                    let name = object::name(&service.metadata);
                    for controller in [Controller::EndpointSlice, Controller::Endpoints] {
                        keys.push(Key::new(controller, &kind::SERVICE, namespace, name));
                    }
                }
            }
            concern_recreating(cache, entry, keys);
            if entry.controller().is_none() {
                // Someone may adopt it.
                for set in cache.replica_sets.in_namespace(namespace) {
                    let wanted = set.spec.as_ref().map(|spec| &spec.selector);
                    if wanted.is_some_and(|w| crate::selector::matches(w, Some(&entry.labels))) {
                        let name = object::name(&set.metadata);
                        keys.push(Key::new(
                            Controller::ReplicaSet,
                            &kind::REPLICA_SET,
                            namespace,
                            name,
                        ));
                    }
                }
            }
        }
        k if *k == kind::REPLICA_SET && entry.controller().is_none() => {
            for found in cache.deployments.in_namespace(namespace) {
                let wanted = found.spec.as_ref().map(|spec| &spec.selector);
                if wanted.is_some_and(|w| crate::selector::matches(w, Some(&entry.labels))) {
                    let name = object::name(&found.metadata);
                    keys.push(Key::new(Controller::Deployment, &kind::DEPLOYMENT, namespace, name));
                }
            }
        }
        k if *k == kind::ENDPOINTS => {
            keys.push(Key::new(Controller::Endpoints, &kind::SERVICE, namespace, name));
        }
        k if *k == kind::NODE => {
            for waiting in cache.pods.all().filter(|pod| schedule::is_waiting(pod)) {
                let meta = &waiting.metadata;
                keys.push(Key::new(
                    Controller::Schedule,
                    &kind::POD,
                    object::namespace(meta),
                    object::name(meta),
                ));
            }
        }
        k if *k == kind::LEASE && namespace == "kube-node-lease" => {
            keys.push(Key::new(Controller::NodeLifecycle, &kind::NODE, "", name));
        }
        _ => {}
    }
    if !namespace.is_empty() && change.new.is_none() {
        concern_namespace(cache, namespace, keys);
    }
}

/// The Deployment above a pod: one that recreates waits for the end of old pods, not of sets.
fn concern_recreating(cache: &Cache, entry: &Entry, keys: &mut Vec<Key>) {
    let Some(owner) = entry.controller().filter(|owner| owner.kind == "ReplicaSet") else { return };
    let Some(set) = cache.replica_sets.get(&entry.namespace, &owner.name) else { return };
    let Some(above) = object::controller_of(&set.metadata) else { return };
    let Some(found) = cache.deployments.get(&entry.namespace, &above.name) else { return };
    let strategy = found.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let recreates = strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate");
    if recreates && is_controlled_by(&set.metadata, object::uid(&found.metadata)) {
        let name = object::name(&found.metadata);
        keys.push(Key::new(Controller::Deployment, &kind::DEPLOYMENT, &entry.namespace, name));
    }
}

fn is_leaving(cache: &Cache, namespace: &str) -> bool {
    let found = cache.namespaces.get("", namespace);
    found.is_some_and(|found| found.metadata.deletion_timestamp.is_some())
}

/// A namespace under deletion waits for its contents to go.
fn concern_namespace(cache: &Cache, namespace: &str, keys: &mut Vec<Key>) {
    if is_leaving(cache, namespace) {
        keys.push(Key::new(Controller::Namespace, &kind::NAMESPACE, "", namespace));
    }
}

fn concern_garbage(cache: &Cache, change: &Change, keys: &mut Vec<Key>) {
    let mut add = |entry: &Entry| {
        keys.push(Key::new(Controller::Garbage, &entry.kind, &entry.namespace, &entry.name));
    };
    match &change.new {
        Some(entry) => {
            let owners = change.old.as_ref().is_none_or(|old| old.owners != entry.owners);
            if entry.deleting || (owners && !entry.owners.is_empty()) {
                add(entry);
            }
            if entry.deleting && change.old.as_ref().is_none_or(|old| !old.deleting) {
                cache.graph.dependents(&entry.uid).iter().for_each(|found| add(found));
            }
        }
        None => {
            let Some(old) = &change.old else { return };
            cache.graph.dependents(&old.uid).iter().for_each(|found| add(found));
            for owner in &old.owners {
                if let Some(owner) = cache.graph.by_uid(&owner.uid).filter(|found| found.deleting) {
                    add(&owner);
                }
            }
        }
    }
}
