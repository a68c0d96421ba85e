//! Endpoints: the older form of the addresses behind each Service, still read by some clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::endpoint_slice::{
    HEADLESS, TRIGGER_TIME, hostname, is_headless, pod_reference, selector_of, selects,
    target_port, trigger_time,
};
use crate::kind::ENDPOINTS;
use crate::object::to_value;
use crate::plan::{Action, Plan};
use crate::pod;
use crate::selector::Labels;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// Most addresses in one object; those of a larger Service are cut off, as Kubernetes does.
const MOST: usize = 1000;

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The Service.
    pub service: &'a Service,
    /// All pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// The Endpoints object with the Service's name.
    pub endpoints: Option<Arc<Endpoints>>,
}

type Ports = Vec<(i32, Option<String>, Option<String>, Option<String>)>;

/// What to write so that the Service's Endpoints list its pods.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(selector) = selector_of(view.service) else {
        return plan;
    };
    let subsets = subsets(view, selector);
    let labels = labels(view.service);
    let annotations = BTreeMap::from([(TRIGGER_TIME.to_owned(), trigger_time(now))]);
    let Some(old) = &view.endpoints else {
        let object = Endpoints {
            metadata: ObjectMeta {
                name: view.service.metadata.name.clone(),
                namespace: view.service.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            subsets: Some(subsets).filter(|subsets| !subsets.is_empty()),
        };
        let object = to_value(&object);
        plan.actions.push(Action::Create {
            kind: ENDPOINTS,
            object,
            event: None,
        });
        return plan;
    };
    let same = old.subsets.as_deref().unwrap_or_default() == subsets.as_slice();
    if same && old.metadata.labels.as_ref() == Some(&labels) {
        return plan;
    }
    let mut object = Endpoints::clone(old);
    object.metadata.labels = Some(labels);
    object
        .metadata
        .annotations
        .get_or_insert_default()
        .extend(annotations);
    object.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    plan.actions.push(Action::Update {
        kind: ENDPOINTS,
        object: to_value(&object),
    });
    plan
}

/// Whether the planner wrote the object, rather than a user.
pub(crate) fn is_managed(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY))
        .is_some_and(|found| found == MANAGER)
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

fn subsets(view: &View<'_>, selector: &Labels) -> Vec<EndpointSubset> {
    let spec = view.service.spec.as_ref();
    let publish = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let mut groups: BTreeMap<Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let selected = view.pods.iter().filter(|pod| selects(selector, pod));
    for pod in selected.take(MOST) {
        let Some(address) = pod::address(pod) else {
            continue;
        };
        if pod::is_finished(pod) || (pod::is_terminating(pod) && !publish) {
            continue;
        }
        let address = EndpointAddress {
            ip: address.to_owned(),
            hostname: hostname(view.service, pod),
            node_name: pod::node(pod).map(ToOwned::to_owned),
            target_ref: Some(pod_reference(pod)),
        };
        let (ready, waiting) = groups.entry(ports(view.service, pod)).or_default();
        if publish || pod::is_ready(pod) {
            ready.push(address);
        } else {
            waiting.push(address);
        }
    }
    let subsets = groups
        .into_iter()
        .map(|(ports, (ready, waiting))| EndpointSubset {
            addresses: sorted(ready),
            not_ready_addresses: sorted(waiting),
            ports: Some(ports.into_iter().map(port).collect::<Vec<_>>()).filter(|p| !p.is_empty()),
        });
    subsets.collect()
}

fn sorted(mut addresses: Vec<EndpointAddress>) -> Option<Vec<EndpointAddress>> {
    addresses.sort_by_key(|address| {
        let number: Option<std::net::IpAddr> = address.ip.parse().ok();
        (
            number,
            address
                .target_ref
                .as_ref()
                .and_then(|target| target.uid.clone()),
        )
    });
    (!addresses.is_empty()).then_some(addresses)
}

fn ports(service: &Service, pod: &Pod) -> Ports {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    let mut resolved: Ports = ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().or_else(|| Some("TCP".to_owned()));
            let name = port.name.clone().filter(|name| !name.is_empty());
            Some((
                target_port(port, pod)?,
                name,
                protocol,
                port.app_protocol.clone(),
            ))
        })
        .collect();
    resolved.sort();
    resolved
}

fn port(
    (port, name, protocol, app_protocol): (i32, Option<String>, Option<String>, Option<String>),
) -> EndpointPort {
    EndpointPort {
        port,
        name,
        protocol,
        app_protocol,
    }
}
