//! Which units of work a change of an object concerns.

use super::{Controller, Key, is_leaving};
use crate::cache::{Cache, Change, Entry};
use crate::kind;
use crate::object::{self, is_controlled_by};
use crate::{endpoint_slice, schedule, selector};

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
    let Some(owner) = entry.controller() else {
        return;
    };
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
        k if *k == kind::POD => concern_pod(cache, entry, keys),
        k if *k == kind::REPLICA_SET && entry.controller().is_none() => {
            for found in cache.deployments.in_namespace(namespace) {
                let wanted = found.spec.as_ref().map(|spec| &spec.selector);
                if wanted.is_some_and(|w| selector::matches(w, Some(&entry.labels))) {
                    let name = object::name(&found.metadata);
                    keys.push(Key::new(
                        Controller::Deployment,
                        &kind::DEPLOYMENT,
                        namespace,
                        name,
                    ));
                }
            }
        }
        k if *k == kind::ENDPOINTS => {
            keys.push(Key::new(
                Controller::Endpoints,
                &kind::SERVICE,
                namespace,
                name,
            ));
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

/// What selects a pod by its labels.
fn concern_pod(cache: &Cache, entry: &Entry, keys: &mut Vec<Key>) {
    let namespace = entry.namespace.as_str();
    let labels = Some(&entry.labels);
    for service in cache.services.in_namespace(namespace) {
        let Some(wanted) = endpoint_slice::selector_of(service) else {
            continue;
        };
        if selector::contains_all(wanted, labels) {
            let name = object::name(&service.metadata);
            for controller in [Controller::EndpointSlice, Controller::Endpoints] {
                keys.push(Key::new(controller, &kind::SERVICE, namespace, name));
            }
        }
    }
    concern_recreating(cache, entry, keys);
    if entry.controller().is_some() {
        return;
    }
    // Someone may adopt it.
    for set in cache.replica_sets.in_namespace(namespace) {
        let wanted = set.spec.as_ref().map(|spec| &spec.selector);
        if wanted.is_some_and(|wanted| selector::matches(wanted, labels)) {
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

/// The Deployment above a pod: one that recreates waits for the end of old pods, not of sets.
fn concern_recreating(cache: &Cache, entry: &Entry, keys: &mut Vec<Key>) {
    let Some(owner) = entry
        .controller()
        .filter(|owner| owner.kind == "ReplicaSet")
    else {
        return;
    };
    let Some(set) = cache.replica_sets.get(&entry.namespace, &owner.name) else {
        return;
    };
    let Some(above) = object::controller_of(&set.metadata) else {
        return;
    };
    let Some(found) = cache.deployments.get(&entry.namespace, &above.name) else {
        return;
    };
    let strategy = found.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let recreates = strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate");
    if recreates && is_controlled_by(&set.metadata, object::uid(&found.metadata)) {
        let name = object::name(&found.metadata);
        keys.push(Key::new(
            Controller::Deployment,
            &kind::DEPLOYMENT,
            &entry.namespace,
            name,
        ));
    }
}

/// A namespace under deletion waits for its contents to go.
fn concern_namespace(cache: &Cache, namespace: &str, keys: &mut Vec<Key>) {
    if is_leaving(cache, namespace) {
        keys.push(Key::new(
            Controller::Namespace,
            &kind::NAMESPACE,
            "",
            namespace,
        ));
    }
}

fn concern_garbage(cache: &Cache, change: &Change, keys: &mut Vec<Key>) {
    let mut add = |entry: &Entry| {
        keys.push(Key::new(
            Controller::Garbage,
            &entry.kind,
            &entry.namespace,
            &entry.name,
        ));
    };
    if let Some(entry) = &change.new {
        let owners = change
            .old
            .as_ref()
            .is_none_or(|old| old.owners != entry.owners);
        if entry.deleting || (owners && !entry.owners.is_empty()) {
            add(entry);
        }
        if entry.deleting && change.old.as_ref().is_none_or(|old| !old.deleting) {
            cache
                .graph
                .dependents(&entry.uid)
                .iter()
                .for_each(|found| add(found));
        }
    } else if let Some(old) = &change.old {
        cache
            .graph
            .dependents(&old.uid)
            .iter()
            .for_each(|found| add(found));
        for owner in &old.owners {
            if let Some(owner) = cache
                .graph
                .by_uid(&owner.uid)
                .filter(|found| found.deleting)
            {
                add(&owner);
            }
        }
    }
}
