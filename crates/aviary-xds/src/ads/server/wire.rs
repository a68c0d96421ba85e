//! Messages of both protocols.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;

use super::track::{Batch, Track};
use super::{Protocol, ServerSession};
use crate::Kind;

impl ServerSession {
    /// Takes a delta request. Types that are not served are ignored.
    pub fn handle_delta(&mut self, request: DeltaDiscoveryRequest) {
        self.protocol.get_or_insert(Protocol::Delta);
        if let Some(node) = request.node {
            self.node.get_or_insert(node);
        }
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return;
        };
        let track = self.track_mut(kind);
        let first = !track.requested;
        track.requested = true;
        if first && kind.is_wildcard() && request.resource_names_subscribe.is_empty() {
            track.wildcard = true;
        }
        track.subscribe(request.resource_names_subscribe);
        for name in &request.resource_names_unsubscribe {
            track.unsubscribe(name);
        }
        if first {
            for (name, version) in request.initial_resource_versions {
                track.had(name, &version);
            }
        }
        let refusal = request
            .error_detail
            .as_ref()
            .map(|status| status.message.as_str());
        track.answered(&request.response_nonce, refusal);
        self.settle();
    }

    /// Takes a state-of-the-world request. Types that are not served are ignored.
    pub fn handle_sotw(&mut self, request: DiscoveryRequest) {
        self.protocol.get_or_insert(Protocol::Sotw);
        if let Some(node) = request.node {
            self.node.get_or_insert(node);
        }
        let Some(kind) = Kind::from_type_url(&request.type_url) else {
            return;
        };
        let track = self.track_mut(kind);
        if track.requested && request.response_nonce != track.last_nonce {
            return;
        }
        track.requested = true;
        let refusal = request
            .error_detail
            .as_ref()
            .map(|status| status.message.as_str());
        track.answered(&request.response_nonce, refusal);
        if kind.is_wildcard() && request.resource_names.is_empty() {
            track.wildcard = true;
        } else {
            let wanted: BTreeSet<String> = request.resource_names.into_iter().collect();
            let gone: Vec<_> = track.names.difference(&wanted).cloned().collect();
            let new: Vec<_> = wanted.difference(&track.names).cloned().collect();
            for name in gone {
                track.unsubscribe(&name);
            }
            track.subscribe(new);
        }
        self.settle();
    }
}

pub(super) fn delta(
    kind: Kind,
    batch: &Batch,
    nonce: &str,
    version: u64,
) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        system_version_info: version.to_string(),
        type_url: kind.type_url().to_owned(),
        nonce: nonce.to_owned(),
        resources: batch
            .resources
            .iter()
            .map(|(name, entry)| Resource {
                name: name.clone(),
                version: entry.version.to_string(),
                resource: Some(Any::clone(&entry.body)),
                ..Resource::default()
            })
            .collect(),
        removed_resources: batch.removed.clone(),
        ..DeltaDiscoveryResponse::default()
    }
}

/// Clusters and listeners are always sent whole: what is left out is removed.
pub(super) fn sotw(kind: Kind, batch: &Batch, nonce: &str, track: &Track) -> DiscoveryResponse {
    let mut bodies: BTreeMap<&str, &Arc<Any>> = BTreeMap::new();
    if kind.is_wildcard() {
        for (name, held) in &track.held {
            if let Some(entry) = &held.entry {
                bodies.insert(name, &entry.body);
            }
        }
    }
    for name in &batch.removed {
        bodies.remove(name.as_str());
    }
    for (name, entry) in &batch.resources {
        bodies.insert(name, &entry.body);
    }
    DiscoveryResponse {
        version_info: nonce.to_owned(),
        type_url: kind.type_url().to_owned(),
        nonce: nonce.to_owned(),
        resources: bodies.into_values().map(|body| Any::clone(body)).collect(),
        ..DiscoveryResponse::default()
    }
}
