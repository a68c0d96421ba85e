//! One watch per kind, into the cache.

use std::sync::Arc;

use aviary_plan::Kind;
use aviary_plan::cache::Origin;
use futures::StreamExt;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;

/// Follows all objects of `kind` until `cancel`, or until the server no longer has the kind.
pub(super) async fn run(desk: Arc<Desk>, kind: Kind, cancel: CancellationToken) -> Kind {
    let names = GroupVersionKind::gvk(&kind.group, &kind.version, &kind.kind);
    let resource = ApiResource::from_gvk_with_plural(&names, &kind.plural);
    let objects: Api<DynamicObject> = Api::all_with(desk.client.clone(), &resource);
    let stream = watcher(objects, watcher::Config::default()).default_backoff();
    let mut stream = Box::pin(stream);
    let mut listed = Vec::new();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return kind,
            event = stream.next() => event,
        };
        match event {
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(object))) => listed.push(to_value(&object)),
            Some(Ok(Event::InitDone)) => desk.replace(&kind, &std::mem::take(&mut listed)),
            Some(Ok(Event::Apply(object))) => {
                desk.apply(&kind, &to_value(&object), Origin::Watch);
            }
            Some(Ok(Event::Delete(object))) => {
                desk.remove(&kind, &to_value(&object), Origin::Watch);
            }
            Some(Err(error)) if is_absent(&error) => {
                desk.forget(&kind);
                return kind;
            }
            Some(Err(error)) => {
                tracing::warn!(kind = %kind.kind, %error, "watch failed; it is tried again");
            }
            None => return kind,
        }
    }
}

fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Whether the server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
