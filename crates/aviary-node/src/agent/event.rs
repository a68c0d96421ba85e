//! Events of pods, sent in the background; a repeated event counts up.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Config;
use crate::pod;

/// How many different events are remembered for counting.
const REMEMBERED: usize = 2000;

#[derive(Debug, Clone)]
pub(super) struct Recorder {
    sender: mpsc::UnboundedSender<Note>,
}

#[derive(Debug)]
struct Note {
    object: ObjectReference,
    kind: &'static str,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

/// Object, reason and message: events that agree in them are one.
type Key = (Option<String>, Option<String>, &'static str, String);

impl Recorder {
    pub(super) fn start(config: &Config, tasks: &mut JoinSet<()>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tasks.spawn(send_all(
            config.client.clone(),
            config.node_name.clone(),
            receiver,
        ));
        Self { sender }
    }

    /// A normal event of `pod`, or of one of its containers.
    pub(super) fn normal(
        &self,
        pod: &Pod,
        container: Option<&str>,
        reason: &'static str,
        message: String,
    ) {
        self.record(pod, container, "Normal", reason, message);
    }

    /// As [`Recorder::normal`] for something that went wrong.
    pub(super) fn warning(
        &self,
        pod: &Pod,
        container: Option<&str>,
        reason: &'static str,
        message: String,
    ) {
        self.record(pod, container, "Warning", reason, message);
    }

    fn record(
        &self,
        pod: &Pod,
        container: Option<&str>,
        kind: &'static str,
        reason: &'static str,
        message: String,
    ) {
        let meta = &pod.metadata;
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: container.map(|name| pod::field_path(pod, name)),
        };
        // The receiver only goes away with the agent.
        let _ = self.sender.send(Note {
            object,
            kind,
            reason,
            message,
            at: Timestamp::now(),
        });
    }
}

async fn send_all(client: kube::Client, node: String, mut receiver: mpsc::UnboundedReceiver<Note>) {
    let mut sent: HashMap<Key, (String, i32)> = HashMap::new();
    while let Some(note) = receiver.recv().await {
        if sent.len() > REMEMBERED {
            sent.clear();
        }
        let namespace = note.object.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let object = &note.object;
        let key = (
            object.uid.clone(),
            object.field_path.clone(),
            note.reason,
            note.message.clone(),
        );
        if let Some((name, count)) = sent.get_mut(&key) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": time(note.at)});
            let result = api
                .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            if result.is_ok() {
                continue;
            }
        }
        let event = event(&note, &node);
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                sent.insert(key, (name, 1));
            }
            // An event tells, it does not decide: a lost one is no failure.
            Err(error) => tracing::debug!(%error, reason = note.reason, "cannot record an event"),
        }
    }
}

fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn event(note: &Note, node: &str) -> Event {
    let object = &note.object;
    let name = format!(
        "{}.{:x}",
        object.name.as_deref().unwrap_or_default(),
        note.at.as_nanosecond()
    );
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.namespace.clone(),
            ..ObjectMeta::default()
        },
        involved_object: object.clone(),
        type_: Some(note.kind.to_owned()),
        reason: Some(note.reason.to_owned()),
        message: Some(note.message.clone()),
        count: Some(1),
        first_timestamp: Some(time(note.at)),
        last_timestamp: Some(time(note.at)),
        source: Some(EventSource {
            component: Some("kubelet".to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
