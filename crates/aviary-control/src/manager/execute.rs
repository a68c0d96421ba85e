//! Carrying out plans: each action is one request, and its answer goes straight into the cache.

use std::sync::Arc;

use aviary_plan::cache::Origin;
use aviary_plan::{Action, Controller, EventDraft, Key, Kind, Plan, Propagation, Target, kind};
use futures::future;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::desk::Desk;

/// Field manager of everything the controllers write.
pub(super) const MANAGER: &str = "kube-controller-manager";
/// Requests of one plan under way at the same time.
const AT_ONCE: usize = 8;
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// Plans one key, carries the plan out, and gives the key back.
pub(super) async fn run(desk: Arc<Desk>, key: Key) {
    let plan = desk.plan(&key);
    for wait in &plan.waits {
        tracing::debug!(?key.controller, key.namespace, key.name, waits_for = wait.message);
    }
    let Plan {
        actions, wake_at, ..
    } = plan;
    for group in groups(&key, &actions) {
        let mut requests = Vec::with_capacity(group.len());
        for action in group {
            requests.push(carry_out(&desk, action));
        }
        let outcomes = future::join_all(requests).await;
        for (action, outcome) in group.iter().zip(outcomes) {
            let Err(error) = outcome else { continue };
            let controller = key.controller;
            if passes(&error) {
                tracing::debug!(?controller, key.namespace, key.name, %error, "retrying");
            } else {
                tracing::warn!(?controller, key.namespace, key.name, %error, "retrying");
            }
            let reason = reason_for_status(&key, action, &error);
            desk.failed(&key, reason, passes(&error));
            return;
        }
    }
    desk.done(&key, wake_at);
}

/// The actions in groups whose members may be carried out at the same time. Pods of one ReplicaSet
/// do not depend on each other; everything else keeps its order.
fn groups<'a>(key: &Key, actions: &'a [Action]) -> impl Iterator<Item = &'a [Action]> {
    let pods = key.controller == Controller::ReplicaSet;
    let alike = move |left: &Action, right: &Action| {
        let independent =
            |action: &Action| matches!(action, Action::Create { .. } | Action::Delete { .. });
        pods && independent(left) && independent(right)
    };
    actions
        .chunk_by(alike)
        .flat_map(|group| group.chunks(AT_ONCE))
}

/// What the planner should tell users about a failure; `None` for failures that pass by themselves.
fn reason_for_status(key: &Key, action: &Action, error: &kube::Error) -> Option<String> {
    let creating = matches!(action, Action::Create { .. });
    if key.controller != Controller::ReplicaSet || !creating {
        return None;
    }
    let kube::Error::Api(status) = error else {
        return None;
    };
    (!passes(error)).then(|| status.message.clone())
}

async fn carry_out(desk: &Desk, action: &Action) -> Result<(), kube::Error> {
    let client = &desk.client;
    match action {
        Action::Create {
            kind,
            object,
            event,
        } => {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let path = kind.path(namespace, None);
            let made = send(client, "POST", &path, JSON, object).await?;
            if let Some(event) = event {
                let name = made["metadata"]["name"].as_str().unwrap_or_default();
                let message = event.message.replace("{name}", name);
                desk.apply(kind, &made, Origin::Write);
                desk.record(EventDraft {
                    message,
                    ..event.clone()
                });
            } else {
                desk.apply(kind, &made, Origin::Write);
            }
        }
        Action::Update { kind, object } => {
            write(desk, kind, "PUT", &path_of(kind, object, ""), JSON, object).await?;
        }
        Action::UpdateStatus { kind, object } => {
            write(
                desk,
                kind,
                "PUT",
                &path_of(kind, object, "/status"),
                JSON,
                object,
            )
            .await?;
        }
        Action::Patch { target, patch } => {
            let path = target.kind.path(&target.namespace, Some(&target.name));
            let changed = send(client, "PATCH", &path, MERGE_PATCH, patch).await?;
            settle(desk, &target.kind, &changed);
        }
        Action::Delete {
            target,
            propagation,
            unless_any,
            event,
        } => {
            for owner in unless_any {
                if exists(client, owner).await? {
                    return Ok(());
                }
            }
            delete(desk, target, *propagation).await?;
            if let Some(event) = event {
                desk.record(event.clone());
            }
        }
        Action::Bind { pod, node } => bind(desk, pod, node).await?,
        Action::Finalize { object } => {
            let path = path_of(&kind::NAMESPACE, object, "/finalize");
            let left = send(client, "PUT", &path, JSON, object).await?;
            settle(desk, &kind::NAMESPACE, &left);
        }
        Action::Event(event) => desk.record(event.clone()),
    }
    Ok(())
}

async fn write(
    desk: &Desk,
    kind: &Kind,
    method: &str,
    path: &str,
    content: &str,
    object: &Value,
) -> Result<(), kube::Error> {
    let changed = send(&desk.client, method, path, content, object).await;
    if let Err(error) = &changed
        && is_missing(error)
    {
        // Its end will be reported by the watch; until then nobody should write to it again.
        desk.remove(kind, object, Origin::Write);
    }
    desk.apply(kind, &changed?, Origin::Write);
    Ok(())
}

/// Takes in the answer to a write that may have been the last one: an object under deletion goes
/// with its last finalizer.
fn settle(desk: &Desk, kind: &Kind, object: &Value) {
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    if !deleting {
        desk.apply(kind, object, Origin::Write);
    }
}

async fn bind(desk: &Desk, pod: &Target, node: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let path = format!(
        "{}/binding",
        kind::POD.path(&pod.namespace, Some(&pod.name))
    );
    send(&desk.client, "POST", &path, JSON, &binding).await?;
    Ok(())
}

async fn delete(
    desk: &Desk,
    target: &Target,
    propagation: Option<Propagation>,
) -> Result<(), kube::Error> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if !target.uid.is_empty() {
        options["preconditions"] = json!({"uid": target.uid});
    }
    if let Some(propagation) = propagation {
        options["propagationPolicy"] = json!(propagation.as_str());
    }
    let path = target.kind.path(&target.namespace, Some(&target.name));
    let answer = send(&desk.client, "DELETE", &path, JSON, &options).await;
    let gone = json!({"metadata": {
        "namespace": target.namespace, "name": target.name, "uid": target.uid,
    }});
    match answer {
        Ok(left) if !left["metadata"]["deletionTimestamp"].is_null() => {
            desk.apply(&target.kind, &left, Origin::Write);
        }
        Ok(_) => desk.remove(&target.kind, &gone, Origin::Write),
        Err(error) if is_missing(&error) => desk.remove(&target.kind, &gone, Origin::Write),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the server has the object, with the very uid.
async fn exists(client: &Client, target: &Target) -> Result<bool, kube::Error> {
    let path = target.kind.path(&target.namespace, Some(&target.name));
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Ok(found) => Ok(found["metadata"]["uid"].as_str() == Some(&target.uid)),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn path_of(kind: &Kind, object: &Value, subresource: &str) -> String {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!(
        "{}{subresource}",
        kind.path(text("namespace"), Some(text("name")))
    )
}

/// Sends a body and gives the answer.
pub(super) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    content: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}?fieldManager={MANAGER}"))
        .header(http::header::CONTENT_TYPE, content)
        .header(http::header::ACCEPT, JSON)
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// Whether the object does not exist.
pub(super) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the failure only says that the cache was behind, and so passes by itself.
fn passes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let leaving = status.code == 403 && status.message.contains("being terminated");
    matches!(status.code, 404 | 409) || leaving
}
