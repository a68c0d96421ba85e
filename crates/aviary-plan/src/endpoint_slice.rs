//! `EndpointSlices`: the addresses behind each Service.
//!
//! Source: the documented behaviour of Kubernetes' EndpointSlice controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::kind::ENDPOINT_SLICE;
use crate::object::{self, is_controlled_by, to_value};
use crate::plan::{Action, Plan};
use crate::pod;
use crate::selector::{Labels, contains_all};

#[cfg(test)]
mod tests;

/// Label that names the Service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names who writes a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
/// Most endpoints in one slice.
const MOST: usize = 100;

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The Service.
    pub service: &'a Service,
    /// All pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// All slices of its namespace.
    pub slices: Vec<Arc<EndpointSlice>>,
    /// All nodes, for zones.
    pub nodes: Vec<Arc<Node>>,
}

/// Ports of a slice; pods on which a named port differs are put into different slices.
type Ports = Vec<(Option<String>, String, Option<i32>, Option<String>)>;

/// What to write so that the Service's slices list its pods.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let service = view.service;
    let mut plan = Plan::default();
    let Some(selector) = selector_of(service) else {
        return plan;
    };
    let mut wanted: BTreeMap<Ports, Vec<Endpoint>> = BTreeMap::new();
    let mut pods: Vec<&Arc<Pod>> = view.pods.iter().filter(|p| selects(selector, p)).collect();
    pods.sort_by_key(|pod| (object::created(&pod.metadata), object::name(&pod.metadata)));
    for pod in pods {
        if let Some(endpoint) = endpoint(view, pod) {
            wanted
                .entry(ports(service, pod))
                .or_default()
                .push(endpoint);
        }
    }
    if wanted.is_empty() {
        // One slice always exists, without ports when there is nobody to resolve them on.
        wanted.insert(Ports::new(), Vec::new());
    }
    let own = view.slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        labels
            .and_then(|l| l.get(MANAGED_BY))
            .is_some_and(|found| found == MANAGER)
            && labels.and_then(|l| l.get(SERVICE_NAME)).map(String::as_str)
                == service.metadata.name.as_deref()
            && is_controlled_by(&slice.metadata, object::uid(&service.metadata))
            && slice.metadata.deletion_timestamp.is_none()
    });
    let mut spare: Vec<&Arc<EndpointSlice>> = own.collect();
    let mut open = Vec::new();
    for (ports, endpoints) in &wanted {
        let chunks: Vec<&[Endpoint]> = if endpoints.is_empty() {
            vec![&[]]
        } else {
            endpoints.chunks(MOST).collect()
        };
        for chunk in chunks {
            match spare.iter().position(|slice| same_ports(slice, ports)) {
                Some(index) => update(service, spare.remove(index), ports, chunk, &mut plan, now),
                None => open.push((ports, chunk)),
            }
        }
    }
    // A slice whose ports changed is written anew rather than replaced: watchers see one change.
    for (ports, chunk) in open {
        if spare.is_empty() {
            let slice = build(service, ports, chunk.to_vec(), now);
            let object = to_value(&slice);
            plan.actions.push(Action::Create {
                kind: ENDPOINT_SLICE,
                object,
                event: None,
            });
        } else {
            update(service, spare.remove(0), ports, chunk, &mut plan, now);
        }
    }
    plan.actions
        .extend(spare.into_iter().map(|slice| Action::Delete {
            target: object::target(&ENDPOINT_SLICE, &slice.metadata),
            propagation: None,
            unless_any: Vec::new(),
            event: None,
        }));
    plan
}

/// The Service's pod selector; `None` if others look after its endpoints.
pub(crate) fn selector_of(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName")
        || service.metadata.deletion_timestamp.is_some()
    {
        return None;
    }
    spec.selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
}

/// Whether the Service's selector covers the pod.
pub(crate) fn selects(selector: &Labels, pod: &Pod) -> bool {
    contains_all(selector, pod.metadata.labels.as_ref())
}

/// A reference to the pod behind an address.
pub(crate) fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Host name under which a headless Service lists the pod.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.clone().filter(|name| !name.is_empty())?;
    (spec.subdomain == service.metadata.name).then_some(hostname)
}

/// Number of a Service's target port on this pod; `None` if the pod does not have that name.
pub(crate) fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            // Restartable init containers serve too.
            let sidecars = spec.init_containers.iter().flatten();
            let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let ports = spec
                .containers
                .iter()
                .chain(sidecars)
                .flat_map(|c| c.ports.iter().flatten());
            let mut named = ports.filter(|found| {
                found.name.as_deref() == Some(name)
                    && found.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            named.next().map(|found| found.container_port)
        }
    }
}

fn ports(service: &Service, pod: &Pod) -> Ports {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    let resolved = ports.filter_map(|port| {
        let number = target_port(port, pod)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        // An unnamed port has the empty name in a slice.
        let name = port.name.clone().unwrap_or_default();
        Some((
            Some(name),
            protocol,
            Some(number),
            port.app_protocol.clone(),
        ))
    });
    resolved.collect()
}

fn endpoint(view: &View<'_>, pod: &Pod) -> Option<Endpoint> {
    let address = pod::address(pod)?;
    if pod::is_finished(pod) {
        return None;
    }
    let node = pod::node(pod);
    let zone = node.and_then(|node| {
        let node = view
            .nodes
            .iter()
            .find(|found| object::name(&found.metadata) == node)?;
        node.metadata
            .labels
            .as_ref()?
            .get("topology.kubernetes.io/zone")
            .cloned()
    });
    let spec = view.service.spec.as_ref();
    let publish = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let serving = pod::is_ready(pod);
    let terminating = pod::is_terminating(pod);
    Some(Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(view.service, pod),
        node_name: node.map(ToOwned::to_owned),
        target_ref: Some(pod_reference(pod)),
        zone,
        ..Endpoint::default()
    })
}

fn slice_ports(ports: &Ports) -> Vec<EndpointPort> {
    let ports = ports
        .iter()
        .map(|(name, protocol, port, app_protocol)| EndpointPort {
            name: name.clone(),
            protocol: Some(protocol.clone()),
            port: *port,
            app_protocol: app_protocol.clone(),
        });
    ports.collect()
}

fn same_ports(slice: &EndpointSlice, ports: &Ports) -> bool {
    let found = slice.ports.as_deref().unwrap_or_default();
    normal(found.to_vec()) == normal(slice_ports(ports))
}

fn normal(mut ports: Vec<EndpointPort>) -> Vec<EndpointPort> {
    for port in &mut ports {
        port.name = Some(port.name.take().unwrap_or_default());
    }
    ports
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(
        SERVICE_NAME.to_owned(),
        object::name(&service.metadata).to_owned(),
    );
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

/// Whether the Service has no address of its own.
pub(crate) fn is_headless(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref())
        == Some("None")
}

/// Annotation value for a change seen at `now`.
pub(crate) fn trigger_time(now: Timestamp) -> String {
    object::api_time(now).0.to_string()
}

fn build(
    service: &Service,
    ports: &Ports,
    endpoints: Vec<Endpoint>,
    now: Timestamp,
) -> EndpointSlice {
    let reference = object::controller_reference::<Service>(&service.metadata);
    let annotations = BTreeMap::from([(TRIGGER_TIME.to_owned(), trigger_time(now))]);
    EndpointSlice {
        address_type: "IPv4".to_owned(),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", object::name(&service.metadata))),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            annotations: Some(annotations),
            owner_references: Some(vec![reference]),
            ..ObjectMeta::default()
        },
        endpoints: Some(endpoints),
        ports: Some(slice_ports(ports)),
    }
}

fn update(
    service: &Service,
    slice: &EndpointSlice,
    ports: &Ports,
    endpoints: &[Endpoint],
    plan: &mut Plan,
    now: Timestamp,
) {
    // Endpoints keep their places, so that a change of one is a small change of the slice.
    let mut rest = endpoints.to_vec();
    let mut kept = Vec::with_capacity(rest.len());
    for old in slice.endpoints.iter().flatten() {
        let same = |new: &Endpoint| uid_of(new) == uid_of(old) && new.addresses == old.addresses;
        if let Some(index) = rest.iter().position(same) {
            kept.push(rest.remove(index));
        }
    }
    kept.append(&mut rest);
    let moved = kept.as_slice() != slice.endpoints.as_deref().unwrap_or_default();
    let labels = labels(service);
    if !moved && same_ports(slice, ports) && slice.metadata.labels.as_ref() == Some(&labels) {
        return;
    }
    let mut slice = slice.clone();
    slice.metadata.labels = Some(labels);
    if moved {
        let annotations = slice.metadata.annotations.get_or_insert_default();
        annotations.insert(TRIGGER_TIME.to_owned(), trigger_time(now));
    }
    slice.endpoints = Some(kept);
    slice.ports = Some(slice_ports(ports));
    plan.actions.push(Action::Update {
        kind: ENDPOINT_SLICE,
        object: to_value(&slice),
    });
}

fn uid_of(endpoint: &Endpoint) -> Option<&str> {
    endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.uid.as_deref())
}
