//! Writing the pod's status.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
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
        let before = self.pod.status.clone().unwrap_or_default();
        let Some(body) = patch(&before, &fresh) else {
            return;
        };
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
