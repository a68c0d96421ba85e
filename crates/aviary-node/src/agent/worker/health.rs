//! What follows from a container's start, end and probes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Container;

use super::probe::{self, Kind, Outcome, Place};
use super::{Worker, hook};
use crate::pod::record::Run;
use crate::pod::{self};

impl Worker {
    /// A container has just started or ended.
    pub(super) fn changed(&mut self, name: &str) {
        self.forget_helpers(name);
        let Some(container) = self.container(name) else {
            return;
        };
        let Some(record) = self.records.get_mut(name) else {
            return;
        };
        match &record.run {
            Run::Running { .. } => {
                record.started = container.startup_probe.is_none();
                record.ready = record.started && container.readiness_probe.is_none();
                self.post_start(&container);
                self.begin_probes(&container);
            }
            Run::Ended(_) if record.crash.until().is_some() && self.deadline.is_none() => {
                let message = format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    self.pod.metadata.name.as_deref().unwrap_or_default(),
                    self.namespace(),
                    pod::uid(&self.pod),
                );
                self.warn(name, "BackOff", message);
            }
            Run::Ended(_) | Run::Never => {}
        }
    }

    /// A container was found running: only its probes begin again.
    pub(super) fn resume(&mut self, name: &str) {
        let Some(container) = self.container(name) else {
            return;
        };
        let Some(record) = self
            .records
            .get_mut(name)
            .filter(|record| record.is_running())
        else {
            return;
        };
        // The agent may have ended before it could write what follows without any probe.
        record.started |= container.startup_probe.is_none();
        record.ready |= record.started && container.readiness_probe.is_none();
        self.begin_probes(&container);
    }

    pub(super) fn forget_helpers(&mut self, name: &str) {
        for helper in self.helpers.remove(name).unwrap_or_default() {
            helper.abort();
        }
        if let Some(stop) = self.stops.remove(name) {
            stop.abort();
        }
    }

    fn begin_probes(&mut self, container: &Container) {
        let Some(record) = self.records.get(&container.name) else {
            return;
        };
        let kinds: &[Kind] = if record.started {
            &[Kind::Liveness, Kind::Readiness]
        } else {
            &[Kind::Startup]
        };
        for kind in kinds {
            self.begin_probe(container, *kind);
        }
    }

    fn begin_probe(&mut self, container: &Container, kind: Kind) {
        let probe = match kind {
            Kind::Startup => &container.startup_probe,
            Kind::Liveness => &container.liveness_probe,
            Kind::Readiness => &container.readiness_probe,
        };
        let (Some(probe), Some(record)) = (probe, self.records.get(&container.name)) else {
            return;
        };
        let Run::Running { since } = record.run else {
            return;
        };
        let place = Place {
            container: container.clone(),
            attempt: record.attempt,
            since,
            passing: matches!(kind, Kind::Readiness) && record.ready,
            address: self.reachable_at(),
            socket: self.socket.clone(),
        };
        let task = probe::run(place, kind, probe.clone(), self.sender.clone());
        let handle = self.tasks.spawn(task);
        self.helpers
            .entry(container.name.clone())
            .or_default()
            .push(handle);
    }

    fn post_start(&mut self, container: &Container) {
        let hook = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.clone());
        let (Some(hook), Some(record)) = (hook, self.records.get(&container.name)) else {
            return;
        };
        let attempt = record.attempt;
        let place = self.hook_place(container);
        let sender = self.sender.clone();
        let name = container.name.clone();
        let handle = self.tasks.spawn(async move {
            if let Err(message) = hook::run(&place, &hook).await {
                let message = format!("PostStartHook failed: {message}");
                let _ = sender.send(super::Note::HookFailed {
                    container: name,
                    attempt,
                    message,
                });
            }
        });
        self.helpers
            .entry(container.name.clone())
            .or_default()
            .push(handle);
    }

    pub(super) fn hook_place(&self, container: &Container) -> hook::Place {
        hook::Place {
            container: container.clone(),
            address: self.reachable_at(),
            socket: self.socket.clone(),
        }
    }

    pub(super) fn probed(&mut self, name: &str, kind: Kind, outcome: Outcome) {
        let Some(container) = self.container(name) else {
            return;
        };
        match outcome {
            Outcome::Passed => {
                let Some(record) = self.records.get_mut(name) else {
                    return;
                };
                match kind {
                    Kind::Startup => {
                        record.started = true;
                        record.ready = container.readiness_probe.is_none();
                        self.begin_probes(&container);
                    }
                    Kind::Readiness => record.ready = true,
                    Kind::Liveness => {}
                }
            }
            Outcome::Failed { message, reached } => {
                self.warn(
                    name,
                    "Unhealthy",
                    format!("{} probe failed: {message}", kind.name()),
                );
                if !reached {
                    return;
                }
                if kind == Kind::Readiness {
                    if let Some(record) = self.records.get_mut(name) {
                        record.ready = false;
                    }
                    return;
                }
                let probe = if kind == Kind::Startup {
                    &container.startup_probe
                } else {
                    &container.liveness_probe
                };
                let grace = probe
                    .as_ref()
                    .and_then(|probe| probe.termination_grace_period_seconds)
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map(Duration::from_secs);
                let what = kind.name().to_lowercase();
                self.restart(
                    name,
                    format!("Container {name} failed {what} probe, will be restarted"),
                    grace,
                );
            }
        }
    }

    /// Stops a container, which its restart policy then starts again.
    pub(super) fn restart(&mut self, name: &str, message: String, grace: Option<Duration>) {
        if !self.stops.contains_key(name) {
            self.begin_stop(name, Some((message, grace)));
        }
    }
}
