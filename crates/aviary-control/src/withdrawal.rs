//! What the node is told of a pod that is to stop: that no proxy gives requests to it any more.
//!
//! A proxy that has not heard of it yet would send requests to an application that no longer takes
//! any. Source: the order that Kubernetes leaves to a `sleep` in `preStop`: the endpoint goes, every
//! proxy confirms, then the application is asked to end.

use std::collections::BTreeMap;

use aviary_api::inject::WITHDRAWN;
use aviary_translate::ObjectKey;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    ads::Proxies,
    mesh::{Leaving, Objects, Publisher},
};

/// Writes conditions until `stop`: after every change of objects and every answer of a proxy.
pub(crate) async fn run(
    client: Client,
    publisher: &Publisher,
    proxies: &Proxies,
    mut objects: watch::Receiver<Objects>,
    stop: &CancellationToken,
) {
    // Those of which it was said, until the watch shows it.
    let mut said = BTreeMap::<ObjectKey, String>::new();
    let mut answers = proxies.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = objects.changed() => if changed.is_err() { return },
            changed = answers.changed() => if changed.is_err() { return },
        }
        let leaving = objects.borrow_and_update().leaving.clone();
        answers.mark_unchanged();
        said.retain(|pod, uid| leaving.get(pod).is_some_and(|known| known.uid == *uid));
        for (pod, uid) in withdrawn(&leaving, publisher, proxies) {
            if !said.contains_key(&pod) && write(&client, &pod, &uid).await {
                said.insert(pod, uid);
            }
        }
    }
}

/// Those that every proxy has taken out.
fn withdrawn(
    leaving: &BTreeMap<ObjectKey, Leaving>,
    publisher: &Publisher,
    proxies: &Proxies,
) -> Vec<(ObjectKey, String)> {
    if leaving.is_empty() {
        return Vec::new();
    }
    let current = publisher.versions();
    let is_out = |leaving: &Leaving| {
        let progress = proxies.progress(leaving.version, &current);
        leaving.version > 0 && progress.acked == progress.total
    };
    let out = leaving.iter().filter(|(_, leaving)| is_out(leaving));
    out.map(|(pod, leaving)| (pod.clone(), leaving.uid.clone()))
        .collect()
}

/// Writes the condition; tells whether it is there, or nobody waits for it.
async fn write(client: &Client, pod: &ObjectKey, uid: &str) -> bool {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let condition = json!({
        "type": WITHDRAWN,
        "status": "True",
        "reason": "ProxiesConfirmed",
        "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let patch = json!({"metadata": {"uid": uid}, "status": {"conditions": [condition]}});
    match api
        .patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
    {
        Ok(_) => true,
        // It is gone, or another pod has its name by now.
        Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => true,
        Err(error) => {
            tracing::warn!(%pod, %error, "cannot say that the pod is withdrawn");
            false
        }
    }
}
