//! What users are told about their objects: whether they can be honoured, and how many proxies
//! have confirmed them.

mod condition;

use std::collections::BTreeMap;

use aviary_translate::{Diagnostic, Kind, ObjectKey, analyze};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    ads::Proxies,
    mesh::{Objects, Publisher, resource},
};
use condition::{Facts, status};

/// Who writes the statuses.
const FIELD_MANAGER: &str = "aviary-control";

/// Statuses written last, with the object's uid.
type Written = BTreeMap<(Kind, ObjectKey), (String, Value)>;

/// Writes statuses until `stop`: after every change of objects and every answer of a proxy, and
/// only where something is to be said that is not there already.
pub(crate) async fn run(
    client: Client,
    publisher: &Publisher,
    proxies: &Proxies,
    mut objects: watch::Receiver<Objects>,
    stop: &CancellationToken,
) {
    let mut written = Written::new();
    let mut answers = proxies.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = objects.changed() => if changed.is_err() { return },
            changed = answers.changed() => if changed.is_err() { return },
        }
        let now = objects.borrow_and_update().clone();
        answers.mark_unchanged();
        written.retain(|id, (uid, _)| now.known.get(id).is_some_and(|known| known.uid == *uid));
        for ((kind, key), status) in wanted(&now, publisher, proxies, &written) {
            if stop.is_cancelled() {
                return;
            }
            if write(&client, kind, &key, &status).await {
                let uid = now
                    .known
                    .get(&(kind, key.clone()))
                    .map(|known| known.uid.clone());
                written.insert((kind, key), (uid.unwrap_or_default(), status));
            }
        }
    }
}

/// The statuses that differ from what is there.
fn wanted(
    objects: &Objects,
    publisher: &Publisher,
    proxies: &Proxies,
    written: &Written,
) -> Vec<((Kind, ObjectKey), Value)> {
    let current = publisher.versions();
    let remarks = analyze(&objects.snapshot);
    let mut wanted = Vec::new();
    for (id, known) in objects.known.iter() {
        let own: Vec<&Diagnostic> = remarks
            .iter()
            .filter(|remark| id.0 == Kind::VirtualService && remark.object == id.1)
            .collect();
        let held = match id.0 {
            Kind::VirtualService => objects.snapshot.held_back(&id.1),
            _ => None,
        };
        let facts = Facts {
            generation: known.generation,
            remarks: &own,
            last_good: held
                .and_then(|held| serde_json::to_value(held).ok())
                .map(without_nulls),
            progress: proxies.progress(known.version, &current),
        };
        let before = written.get(id).map_or(&known.status, |(_, status)| status);
        let status = status(&facts, before, jiff::Timestamp::now());
        if status != *before {
            wanted.push((id.clone(), status));
        }
    }
    wanted
}

/// A merge patch would take a null as a removal, and the object read back would differ.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Writes one status; tells whether it is there now.
async fn write(client: &Client, kind: Kind, key: &ObjectKey, status: &Value) -> bool {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &key.namespace, &resource(kind));
    let mut status = status.clone();
    if status.get("lastGood").is_none() {
        // A merge patch keeps what it does not name.
        status["lastGood"] = Value::Null;
    }
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch_status(&key.name, &params, &Patch::Merge(json!({"status": status})))
        .await
    {
        Ok(_) => true,
        Err(kube::Error::Api(answer)) if answer.code == 404 => false,
        Err(error) => {
            tracing::warn!(?kind, object = %key, %error, "the status is not written");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_left_out_at_every_depth() {
        let value = json!({"a": null, "b": [{"c": null, "d": 1}]});
        assert_eq!(without_nulls(value), json!({"b": [{"d": 1}]}));
    }
}
