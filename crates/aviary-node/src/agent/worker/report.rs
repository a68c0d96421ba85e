//! Writing the pod's status.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{RETRY, Worker};
use crate::pod::status::{Place, status};
use crate::pod::{self};

impl Worker {
    /// Writes the status if it is another than the one written last; a failed write is tried again.
    pub(super) async fn publish(&mut self) {
        let place = Place {
            address: self.address.filter(|_| self.states.is_some()),
            start_time: self.start_time,
            now: Timestamp::now(),
        };
        if self.ended {
            return;
        }
        let fresh = status(&self.pod, &self.records, place);
        if self.published.as_ref() == Some(&fresh) {
            return;
        }
        let Ok(mut body) = serde_json::to_value(&fresh) else {
            return;
        };
        if let Some(conditions) = fresh.conditions.as_deref() {
            let order: Vec<Value> = conditions
                .iter()
                .map(|condition| json!({"type": condition.type_}))
                .collect();
            body["$setElementOrder/conditions"] = Value::Array(order);
        }
        let patch = json!({"metadata": {"uid": pod::uid(&self.pod)}, "status": body});
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), self.namespace());
        let name = self.pod.metadata.name.clone().unwrap_or_default();
        let written = api
            .patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        match written {
            Ok(_) => {
                self.pod.status = Some(fresh.clone());
                self.published = Some(fresh);
            }
            // The object is gone or another one; the watch will say so.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => {
                tracing::warn!(%error, pod = name, "cannot write the pod's status; trying again");
                self.wake_in(RETRY);
            }
        }
    }
}
