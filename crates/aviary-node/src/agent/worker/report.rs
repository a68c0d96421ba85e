//! Writing the pod's status.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::{JoinError, JoinHandle};

use super::{RETRY, Worker};
use crate::pod::status::{Place, status};
use crate::pod::{self};

/// A status on its way to the API server.
#[derive(Debug)]
pub(super) struct Writing {
    status: PodStatus,
    task: JoinHandle<Result<(), kube::Error>>,
}

/// What became of a write.
pub(super) type Written = Result<Result<(), kube::Error>, JoinError>;

impl Worker {
    /// Writes the status if it is another than the one written last, while the worker goes on: an API
    /// server that is slow or stands still must not keep a container from being started again. A
    /// failed write is tried again.
    pub(super) fn publish(&mut self) {
        if self.ended || self.writing.is_some() {
            return;
        }
        let now = Timestamp::now();
        if let Some(at) = self.write_again_at.filter(|at| *at > now) {
            self.wake_until(Some(at));
            return;
        }
        let place = Place {
            address: self.address.filter(|_| self.states.is_some()),
            start_time: self.start_time,
            now,
        };
        let fresh = status(&self.pod, &self.records, place);
        if self.published.as_ref() == Some(&fresh) {
            return;
        }
        let before = self.pod.status.clone().unwrap_or_default();
        let Some(body) = patch(&before, &fresh) else {
            return;
        };
        let patch = json!({"metadata": {"uid": pod::uid(&self.pod)}, "status": body});
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), self.namespace());
        let name = self.pod.metadata.name.clone().unwrap_or_default();
        let task = tokio::spawn(async move {
            let (parameters, patch) = (PatchParams::default(), Patch::Strategic(patch));
            let written = api.patch_status(&name, &parameters, &patch).await;
            written.map(drop)
        });
        self.writing = Some(Writing {
            status: fresh,
            task,
        });
    }

    /// As [`Worker::publish`], and waits until the API server has it.
    pub(super) async fn publish_now(&mut self) {
        // What is on its way already is older.
        self.finish_writing().await;
        self.publish();
        self.finish_writing().await;
    }

    async fn finish_writing(&mut self) {
        if self.writing.is_some() {
            let outcome = written(&mut self.writing).await;
            self.take_written(outcome);
        }
    }

    /// Takes in what became of the write.
    pub(super) fn take_written(&mut self, outcome: Written) {
        let Some(Writing { status, .. }) = self.writing.take() else {
            return;
        };
        self.write_again_at = None;
        let error = match outcome {
            Ok(Ok(())) => {
                self.pod.status = Some(status.clone());
                self.published = Some(status);
                return;
            }
            // The object is gone or another one; the watch will say so.
            Ok(Err(kube::Error::Api(answer))) if answer.code == 404 || answer.code == 409 => {
                self.published = Some(status);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let pod = self.pod.metadata.name.as_deref();
        tracing::warn!(pod, %error, "cannot write the pod's status; trying again");
        self.write_again_at = Some(Timestamp::now() + RETRY);
    }
}

/// The outcome of the write under way, or never while there is none. Safe to cancel.
pub(super) async fn written(writing: &mut Option<Writing>) -> Written {
    match writing {
        Some(writing) => (&mut writing.task).await,
        None => std::future::pending().await,
    }
}

/// The strategic merge patch that turns `before` into `fresh`: what `fresh` lacks must be taken away by name.
fn patch(before: &PodStatus, fresh: &PodStatus) -> Option<Value> {
    let mut body = serde_json::to_value(fresh).ok()?;
    let conditions = fresh.conditions.as_deref().unwrap_or_default();
    let order: Vec<Value> = conditions
        .iter()
        .map(|condition| json!({"type": condition.type_}))
        .collect();
    body["$setElementOrder/conditions"] = Value::Array(order);
    for (index, condition) in conditions.iter().enumerate() {
        let same = |other: &&PodCondition| other.type_ == condition.type_;
        let Some(old) = before.conditions.iter().flatten().find(same) else {
            continue;
        };
        if old.reason.is_some() && condition.reason.is_none() {
            body["conditions"][index]["reason"] = Value::Null;
        }
        if old.message.is_some() && condition.message.is_none() {
            body["conditions"][index]["message"] = Value::Null;
        }
    }
    if let Some(addresses) = body.get_mut("podIPs").and_then(Value::as_array_mut) {
        addresses.insert(0, json!({"$patch": "replace"}));
    } else if before.pod_ip.is_some() {
        body["podIP"] = Value::Null;
        body["podIPs"] = Value::Null;
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    fn status(value: Value) -> PodStatus {
        from_value(value).unwrap()
    }

    #[test]
    fn patch_takes_away_reasons_that_hold_no_more() {
        let before = status(json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"},
        ]}));
        let fresh = status(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        let expected = json!({
            "conditions": [{"type": "Ready", "status": "True", "reason": null, "message": null}],
            "$setElementOrder/conditions": [{"type": "Ready"}],
        });
        assert_eq!(patch(&before, &fresh), Some(expected));
    }

    #[test]
    fn patch_replaces_or_removes_the_address() {
        let before = status(json!({"podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]}));
        let fresh = status(json!({"podIP": "10.244.0.3", "podIPs": [{"ip": "10.244.0.3"}]}));
        let body = patch(&before, &fresh).unwrap();
        assert_eq!(
            body["podIPs"],
            json!([{"$patch": "replace"}, {"ip": "10.244.0.3"}])
        );
        let body = patch(&before, &PodStatus::default()).unwrap();
        assert_eq!(
            (&body["podIP"], &body["podIPs"]),
            (&Value::Null, &Value::Null)
        );
        assert!(body.as_object().unwrap().contains_key("podIP"));
    }
}
