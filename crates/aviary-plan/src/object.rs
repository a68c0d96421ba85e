//! Small questions to the metadata of any object.

use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::Serialize;
use serde_json::Value;

use crate::kind::Kind;
use crate::plan::{EventDraft, Target};

/// The owner reference that marks the managing controller.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// Whether the controller of the object has this uid.
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// Uid of the object; empty before the server gave one.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// Name of the object; empty before the server gave one.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// Namespace of the object; empty for kinds without namespaces.
pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// Time of creation; the epoch if the server gave none.
pub fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Value of an annotation.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A reference to `owner` that makes it the controller of a dependent and blocks its deletion.
pub fn controller_reference<K: Resource>(meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: name(meta).to_owned(),
        uid: uid(meta).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The object as a target of actions.
pub fn target(kind: &Kind, meta: &ObjectMeta) -> Target {
    Target {
        kind: kind.clone(),
        namespace: namespace(meta).to_owned(),
        name: name(meta).to_owned(),
        uid: uid(meta).to_owned(),
    }
}

/// A normal event about the object.
pub fn normal_event(
    kind: &Kind,
    meta: &ObjectMeta,
    component: &'static str,
    reason: &'static str,
    message: String,
) -> EventDraft {
    EventDraft {
        object: target(kind, meta),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        warning: false,
        reason,
        message,
        component,
    }
}

/// The object as JSON; plain API types cannot fail to serialise.
pub fn to_value<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// `now` as API time, which has whole seconds.
pub fn api_time(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}
