//! Stopping containers, and pods as a whole.

use std::time::Duration;

use aviary_api::inject::WITHDRAWN;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{RETRY, Target, Worker, hook};
use crate::init::client::call;
use crate::init::protocol::Request;
use crate::pod::{self};

/// What a sidecar gets in any case. Source: KEP-753.
const SIDECAR_GRACE: Duration = Duration::from_secs(2);

/// How long the proxies may take to confirm that they send nobody here any more; a control plane that is
/// away must not keep a pod from ending. No more than half of the grace period in any case.
const WITHDRAWAL: Duration = Duration::from_secs(5);

/// What the proxies sent before they confirmed is on its way for so long.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// When a pod that is deleted is ended by force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    grace: Duration,
    at: Instant,
}

impl Worker {
    /// Takes in that the pod is to be deleted, or sooner than was known.
    pub(super) fn note_deletion(&mut self) {
        if self.pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let seconds = self.pod.metadata.deletion_grace_period_seconds;
        let grace = seconds_of(seconds).unwrap_or_else(|| self.grace());
        if self
            .deadline
            .is_some_and(|deadline| deadline.grace <= grace)
        {
            return;
        }
        self.deadline = Some(Deadline {
            grace,
            at: Instant::now() + grace,
        });
        // Stops that run were begun with another deadline.
        for (_, stop) in std::mem::take(&mut self.stops) {
            stop.abort();
        }
    }

    fn grace(&self) -> Duration {
        let spec = self.pod.spec.as_ref();
        seconds_of(spec.and_then(|spec| spec.termination_grace_period_seconds))
            .unwrap_or(Duration::from_secs(30))
    }

    /// Begins to stop a container, unless that has begun; `restart` tells why and with which grace.
    pub(super) fn begin_stop(&mut self, name: &str, restart: Option<(String, Option<Duration>)>) {
        if self.stops.contains_key(name) {
            return;
        }
        let Some(container) = self.container(name) else {
            return;
        };
        let now = Instant::now();
        let leaves = restart.is_none()
            && self.deadline.is_some()
            && !pod::is_sidecar(&container)
            && self.context.serves(&self.pod);
        let (message, deadline) = if let Some((message, grace)) = restart {
            (message, now + grace.unwrap_or_else(|| self.grace()))
        } else {
            let deadline = self
                .deadline
                .map_or_else(|| now + self.grace(), |deadline| deadline.at);
            let least = if pod::is_sidecar(&container) {
                now + SIDECAR_GRACE
            } else {
                now
            };
            (format!("Stopping container {name}"), deadline.max(least))
        };
        self.tell(name, "Killing", message);
        let hook = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.clone());
        let place = self.hook_place(&container);
        let (events, pod) = (self.context.events.clone(), self.pod.clone());
        let mut target = self.target.clone();
        let withdrawal = now + WITHDRAWAL.min(deadline.saturating_duration_since(now) / 2);
        let handle = self.tasks.spawn(async move {
            if let Some(hook) = hook
                && let Ok(Err(message)) = timeout_at(deadline, hook::run(&place, &hook)).await
            {
                let message = format!("PreStopHook failed: {message}");
                events.warning(
                    &pod,
                    Some(&place.container.name),
                    "FailedPreStopHook",
                    message,
                );
            }
            if leaves {
                // The watch ends with the agent; then the next one stops the pod.
                let withdrawn = timeout_at(withdrawal, target.wait_for(is_withdrawn)).await;
                if withdrawn.is_ok_and(|known| known.is_ok()) {
                    sleep_until(deadline.min(Instant::now() + UNDER_WAY)).await;
                }
            }
            let signal = |signal: Signal| Request::Signal {
                name: place.container.name.clone(),
                signal: signal as i32,
            };
            let _ = call(&place.socket, signal(Signal::SIGTERM), Vec::new()).await;
            sleep_until(deadline).await;
            let _ = call(&place.socket, signal(Signal::SIGKILL), Vec::new()).await;
        });
        self.stops.insert(name.to_owned(), handle);
    }

    /// Removes the object of a pod whose processes have ended; true once it and all that was here are gone.
    pub(super) async fn remove(&mut self) -> bool {
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), self.namespace());
        let name = self.pod.metadata.name.clone().unwrap_or_default();
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&name, &parameters).await {
            // Gone already, or another pod has its name by now.
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => {
                tracing::warn!(%error, pod = name, "cannot remove the pod's object; trying again");
                self.wake_in(RETRY);
                return false;
            }
        }
        self.teardown().await;
        true
    }
}

/// Whether no proxy sends anybody to the pod any more.
fn is_withdrawn(target: &Target) -> bool {
    let status = target.pod.status.as_ref();
    let mut conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default()
        .iter();
    target.gone || conditions.any(|it| it.type_ == WITHDRAWN && it.status == "True")
}

fn seconds_of(value: Option<i64>) -> Option<Duration> {
    value
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs)
}
