//! One watch per kind.

use std::time::Duration;

use aviary_translate::{Kind, ObjectKey};
use futures::StreamExt;
use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
    runtime::watcher::{self, Event as Seen, watcher},
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pause before a failed watch starts again.
const PAUSE: Duration = Duration::from_millis(200);

/// What a watch saw.
pub(super) enum Event {
    /// All objects of the kind, now.
    Replace(Kind, Vec<Value>),
    /// One object, new or changed.
    Apply(Kind, Value),
    /// One object is gone.
    Delete(Kind, ObjectKey),
}

/// The served resource of a kind.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let (group, version, name, plural) = match kind {
        Kind::Service => ("", "v1", "Service", "services"),
        Kind::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        Kind::Pod => ("", "v1", "Pod", "pods"),
        Kind::VirtualService => (
            aviary_api::NETWORKING_GROUP,
            "v1",
            "VirtualService",
            "virtualservices",
        ),
        Kind::DestinationRule => (
            aviary_api::NETWORKING_GROUP,
            "v1",
            "DestinationRule",
            "destinationrules",
        ),
        Kind::Gateway => (aviary_api::NETWORKING_GROUP, "v1", "Gateway", "gateways"),
        Kind::Release => (
            aviary_api::release::GROUP,
            aviary_api::release::VERSION,
            "Release",
            "releases",
        ),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural)
}

/// The key of an object.
pub(super) fn key(object: &Value) -> ObjectKey {
    let part = |name: &str| {
        object["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    ObjectKey::new(part("namespace"), part("name"))
}

/// Sends what happens to objects of `kind` until `stop`.
pub(super) async fn run(
    client: Client,
    kind: Kind,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource(kind));
    let mut stream = Box::pin(watcher(api, watcher::Config::default()));
    let mut listed = Vec::new();
    loop {
        let seen = tokio::select! {
            () = stop.cancelled() => return,
            seen = stream.next() => seen,
        };
        let event = match seen {
            None => return,
            Some(Ok(Seen::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(Seen::InitApply(object))) => {
                listed.push(value(&object));
                continue;
            }
            Some(Ok(Seen::InitDone)) => Event::Replace(kind, std::mem::take(&mut listed)),
            Some(Ok(Seen::Apply(object))) => Event::Apply(kind, value(&object)),
            Some(Ok(Seen::Delete(object))) => Event::Delete(kind, key(&value(&object))),
            Some(Err(error)) => {
                tracing::warn!(?kind, %error, "watch failed; it is tried again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
