//! Writing events, in order, beside the plans that cause them.

use aviary_plan::event::{Recorder, Write};
use aviary_plan::{EventDraft, kind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::execute::{is_missing, send};

/// Records drafts until `cancel`; those already there are still written then.
pub(super) async fn run(
    client: Client,
    mut drafts: mpsc::UnboundedReceiver<EventDraft>,
    cancel: CancellationToken,
) {
    let mut recorder = Recorder::default();
    loop {
        let draft = tokio::select! {
            biased;
            draft = drafts.recv() => draft,
            () = cancel.cancelled() => None,
        };
        let Some(draft) = draft else { return };
        if let Err(error) = record(&client, &mut recorder, &draft).await {
            tracing::debug!(reason = draft.reason, %error, "event not recorded");
        }
    }
}

async fn record(
    client: &Client,
    recorder: &mut Recorder,
    draft: &EventDraft,
) -> Result<(), kube::Error> {
    let now = Timestamp::now();
    let Some(write) = recorder.record(draft, now) else {
        return Ok(());
    };
    match &write {
        Write::Create(event) => create(client, event).await,
        Write::Repeat(event) => match repeat(client, event).await {
            Err(error) if is_missing(&error) => {
                // It expired meanwhile.
                recorder.forget(event);
                match recorder.record(draft, now) {
                    Some(write) => create(client, write.event()).await,
                    None => Ok(()),
                }
            }
            other => other,
        },
    }
}

async fn create(client: &Client, event: &Event) -> Result<(), kube::Error> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let path = kind::EVENT.path(namespace, None);
    let body = serde_json::to_value(event).unwrap_or_default();
    send(client, "POST", &path, "application/json", &body)
        .await
        .map(drop)
}

async fn repeat(client: &Client, event: &Event) -> Result<(), kube::Error> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let name = event.metadata.name.as_deref().unwrap_or_default();
    let path = kind::EVENT.path(namespace, Some(name));
    let patch = json!({
        "count": event.count,
        "lastTimestamp": event.last_timestamp,
        "message": event.message,
    });
    send(
        client,
        "PATCH",
        &path,
        "application/merge-patch+json",
        &patch,
    )
    .await
    .map(drop)
}
