//! Which planner looks at which object, and which objects a change concerns.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cache::Cache;
use crate::kind::{self, Kind};
use crate::object;
use crate::plan::{Action, Plan};
use crate::{
    deployment, endpoint_slice, endpoints, event, garbage, namespace, node_lifecycle, pod,
    replica_set, schedule,
};

mod affected;
#[cfg(test)]
mod tests;

pub use affected::affected;

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
        Controller::ReplicaSet => plan_replica_set(cache, namespace, name, failure, now),
        Controller::Deployment => plan_deployment(cache, namespace, name, now),
        Controller::EndpointSlice => plan_endpoint_slice(cache, namespace, name, now),
        Controller::Endpoints => plan_endpoints(cache, namespace, name, now),
        Controller::Garbage => cache
            .graph
            .get(&key.kind, namespace, name)
            .map(|entry| garbage::plan(&entry, &cache.graph))
            .unwrap_or_default(),
        Controller::Namespace => plan_namespace(cache, name),
        Controller::NodeLifecycle => plan_node(cache, name, now),
        Controller::EventExpiry => {
            let found = cache.events.get(namespace, name);
            found
                .map(|found| event::expire(&found, now))
                .unwrap_or_default()
        }
    }
}

fn plan_schedule(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let Some(found) = cache.pods.get(namespace, name) else {
        return Plan::default();
    };
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
    schedule::plan(
        &schedule::View {
            pod: &found,
            nodes,
            load,
        },
        now,
    )
}

fn plan_replica_set(
    cache: &Cache,
    namespace: &str,
    name: &str,
    failure: Option<&str>,
    now: Timestamp,
) -> Plan {
    let Some(set) = cache.replica_sets.get(namespace, name) else {
        return Plan::default();
    };
    let pods = cache.pods.in_namespace(namespace).cloned().collect();
    replica_set::plan(
        &replica_set::View {
            replica_set: &set,
            pods,
            failure,
        },
        now,
    )
}

fn plan_deployment(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let Some(deployment) = cache.deployments.get(namespace, name) else {
        return Plan::default();
    };
    let replica_sets = cache
        .replica_sets
        .in_namespace(namespace)
        .cloned()
        .collect();
    let pods = cache.pods.in_namespace(namespace).cloned().collect();
    deployment::plan(
        &deployment::View {
            deployment: &deployment,
            replica_sets,
            pods,
        },
        now,
    )
}

fn plan_endpoint_slice(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let Some(service) = cache.services.get(namespace, name) else {
        return Plan::default();
    };
    let view = endpoint_slice::View {
        service: &service,
        pods: cache.pods.in_namespace(namespace).cloned().collect(),
        slices: cache
            .endpoint_slices
            .in_namespace(namespace)
            .cloned()
            .collect(),
        nodes: cache.nodes.all().cloned().collect(),
    };
    endpoint_slice::plan(&view, now)
}

fn plan_namespace(cache: &Cache, name: &str) -> Plan {
    let Some(object) = cache.namespaces.get("", name) else {
        return Plan::default();
    };
    let contents = if is_leaving(cache, name) {
        cache.graph.in_namespace(name)
    } else {
        Vec::new()
    };
    namespace::plan(&namespace::View {
        namespace: &object,
        contents,
    })
}

fn plan_endpoints(cache: &Cache, namespace: &str, name: &str, now: Timestamp) -> Plan {
    let endpoints = cache.endpoints.get(namespace, name);
    if let Some(service) = cache.services.get(namespace, name) {
        let pods = cache.pods.in_namespace(namespace).cloned().collect();
        return endpoints::plan(
            &endpoints::View {
                service: &service,
                pods,
                endpoints,
            },
            now,
        );
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
    let Some(node) = cache.nodes.get("", name) else {
        return Plan::default();
    };
    let lease = ("kube-node-lease".to_owned(), name.to_owned());
    let pods = cache
        .pods
        .all()
        .filter(|found| pod::node(found) == Some(name));
    let view = node_lifecycle::View {
        node: &node,
        renewed: cache.renewals.get(&lease).copied(),
        pods: pods.cloned().collect(),
    };
    node_lifecycle::plan(&view, now)
}

fn is_leaving(cache: &Cache, namespace: &str) -> bool {
    let found = cache.namespaces.get("", namespace);
    found.is_some_and(|found| found.metadata.deletion_timestamp.is_some())
}
