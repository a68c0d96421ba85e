//! The plain objects that an overlay amounts to.

mod both;
mod rule;
mod subsets;

use aviary_api::{
    DestinationRule, VirtualService, names,
    virtual_service::{Destination, HttpRoute, HttpRouteDestination, TcpRoute, VirtualServiceSpec},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{ObjectKey, Snapshot, overlay::Guard, service::Protocol};
use rule::Rules;
use subsets::Subsets;

/// The plain objects that an overlay amounts to: in the place of those of the same names, and
/// without the `Release`, they give the same routes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// Those that lead to the Service, and one for the Service itself where there is none.
    pub virtual_services: Vec<VirtualService>,
    /// Those of the Service, one for each namespace that has its own.
    pub destination_rules: Vec<DestinationRule>,
    /// What plain objects cannot say, and what they do instead.
    pub inexpressible: Vec<String>,
}

/// What a `Release` amounts to; `None` while its overlay is not in force.
///
/// Source: Istio `networking/v1alpha3/virtual_service.proto`: weights are relative, so fractions of
/// a percent can be said; what cannot is in [`Effective::inexpressible`].
pub fn effective(snapshot: &Snapshot, release: &ObjectKey) -> Option<Effective> {
    let guard = snapshot.releases.get(release)?;
    let guard = snapshot
        .guard(&guard.host)
        .filter(|guard| guard.key == *release)?;
    let subsets = Subsets::new(snapshot, guard);
    let mut effective = Effective {
        inexpressible: never(guard),
        ..Effective::default()
    };
    let owner = snapshot.mesh_owner(&guard.host).map(|(owner, _)| owner);
    let mut objects: Vec<(ObjectKey, VirtualServiceSpec)> = Vec::new();
    for (key, spec) in snapshot.live_by_age() {
        let leads = spec
            .destinations()
            .any(|(_, to)| names::expand_host(&to.host, &key.namespace) == guard.host);
        if leads || owner == Some(key) {
            objects.push((key.clone(), spec.clone()));
        }
    }
    if owner.is_none() {
        let spec = VirtualServiceSpec {
            hosts: vec![guard.host.clone()],
            ..VirtualServiceSpec::default()
        };
        let taken = |key: &ObjectKey| snapshot.virtual_services.contains_key(key);
        objects.push((unused(&guard.key, taken), spec));
    }
    for (key, mut spec) in objects {
        if owner.is_none_or(|owner| *owner == key) {
            effective
                .inexpressible
                .extend(add_defaults(snapshot, guard, &key, &mut spec));
        }
        let mut rules = Rules::new(guard, &subsets, &key);
        spec.http = spec.http.iter().flat_map(|it| rules.http(it)).collect();
        spec.tcp = spec.tcp.iter().map(|it| rules.tcp(it)).collect();
        for note in rules.notes {
            if !effective.inexpressible.contains(&note) {
                effective.inexpressible.push(note);
            }
        }
        effective.virtual_services.push(VirtualService {
            metadata: meta(&key),
            spec,
        });
    }
    effective.destination_rules = subsets.into_rules();
    Some(effective)
}

/// What no plain object says.
fn never(guard: &Guard) -> Vec<String> {
    let overlay = &guard.overlay;
    let mut notes = Vec::new();
    let splits = overlay
        .shares
        .iter()
        .filter(|share| share.parts > 0)
        .count()
        > 1;
    if overlay.affinity.is_some() && splits {
        notes.push("affinity: the version is drawn anew for each request".to_owned());
    }
    if let Some(fallback) = &overlay.fallback {
        notes.push(format!(
            "fallback: requests for a version without ready pods are answered with 503, not by `{fallback}`"
        ));
    }
    notes
}

/// Adds the rules that a Service has where the object says nothing.
fn add_defaults(
    snapshot: &Snapshot,
    guard: &Guard,
    key: &ObjectKey,
    spec: &mut VirtualServiceSpec,
) -> Option<String> {
    let service = snapshot.service_of_host(&guard.host)?;
    let speaks = |wanted: fn(Protocol) -> bool| service.ports.iter().any(|it| wanted(it.protocol));
    let http = spec.http.is_empty() && speaks(|protocol| protocol != Protocol::Tcp);
    let takes_all = spec.tcp.last().is_some_and(|rule| rule.matches.is_empty());
    let tcp = !takes_all && speaks(|protocol| !protocol.is_http());
    let mut hosts = spec.hosts.iter();
    if (http || tcp) && !hosts.all(|host| names::expand_host(host, &key.namespace) == guard.host) {
        return Some(format!(
            "VirtualService `{key}` is for other hosts as well: what it leaves to the defaults is not split"
        ));
    }
    let destination = || Destination {
        host: guard.host.clone(),
        ..Destination::default()
    };
    if http {
        spec.http.push(HttpRoute {
            route: vec![HttpRouteDestination {
                destination: destination(),
                ..HttpRouteDestination::default()
            }],
            ..HttpRoute::default()
        });
    }
    if tcp {
        let route = aviary_api::virtual_service::TcpRouteDestination {
            destination: destination(),
            ..Default::default()
        };
        spec.tcp.push(TcpRoute {
            route: vec![route],
            ..TcpRoute::default()
        });
    }
    None
}

/// A key that no other object has.
fn unused(key: &ObjectKey, taken: impl Fn(&ObjectKey) -> bool) -> ObjectKey {
    let mut key = key.clone();
    while taken(&key) {
        key.name.push_str("-release");
    }
    key
}

fn meta(key: &ObjectKey) -> ObjectMeta {
    ObjectMeta {
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        ..ObjectMeta::default()
    }
}
