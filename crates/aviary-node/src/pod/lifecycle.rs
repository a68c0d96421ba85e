//! What to start and what to stop next.
//!
//! Source: Kubernetes, pod lifecycle: init containers one after the other, native sidecars (KEP-753), restart policies,
//! termination order.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::record::{Record, Records, Run};
use super::{containers, init_containers, is_sidecar};

/// The next steps of a pod. Deciding again after they were taken gives nothing new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Containers to start now.
    pub(crate) start: Vec<String>,
    /// Containers to stop now.
    pub(crate) stop: Vec<String>,
    /// When to decide again even if nothing happens.
    pub(crate) wake_at: Option<Timestamp>,
    /// Nothing runs and nothing will.
    pub(crate) finished: bool,
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// Decides for a pod; `stopping` once it is to be deleted.
pub(crate) fn decide(pod: &Pod, records: &Records, stopping: bool, now: Timestamp) -> Decision {
    let view = View { pod, records, now };
    if stopping || view.ended() {
        return view.wind_down();
    }
    let mut decision = Decision::default();
    if view.initialize(&mut decision) {
        for container in containers(pod) {
            if view.wants_run(container) {
                view.start(container, &mut decision);
            }
        }
    }
    decision
}

/// The phase by the containers' ends and runs.
pub(crate) fn phase(pod: &Pod, records: &Records) -> Phase {
    let view = View {
        pod,
        records,
        now: Timestamp::UNIX_EPOCH,
    };
    if view.ended() {
        let failed = containers(pod)
            .iter()
            .any(|c| view.record(c).exit_code() != Some(0));
        return if failed {
            Phase::Failed
        } else {
            Phase::Succeeded
        };
    }
    let begun = |c: &Container| !matches!(view.record(c).run, Run::Never);
    if initialized(pod, records) && containers(pod).iter().all(begun) {
        Phase::Running
    } else {
        Phase::Pending
    }
}

/// True once every init container has done its part (or the application ran already).
pub(crate) fn initialized(pod: &Pod, records: &Records) -> bool {
    let view = View {
        pod,
        records,
        now: Timestamp::UNIX_EPOCH,
    };
    view.application_begun() || init_containers(pod).iter().all(|c| view.passed(c))
}

struct View<'a> {
    pod: &'a Pod,
    records: &'a Records,
    now: Timestamp,
}

impl View<'_> {
    fn record(&self, container: &Container) -> Record {
        self.records
            .get(&container.name)
            .cloned()
            .unwrap_or_default()
    }

    fn policy(&self) -> &str {
        let spec = self.pod.spec.as_ref();
        spec.and_then(|spec| spec.restart_policy.as_deref())
            .unwrap_or("Always")
    }

    fn application_begun(&self) -> bool {
        containers(self.pod)
            .iter()
            .any(|c| !matches!(self.record(c).run, Run::Never))
    }

    /// An init container that lets the next one start.
    fn passed(&self, container: &Container) -> bool {
        let record = self.record(container);
        if is_sidecar(container) {
            record.is_running() && record.started
        } else {
            record.exit_code() == Some(0)
        }
    }

    /// True if a container runs or is to run (again).
    fn wants_run(&self, container: &Container) -> bool {
        match (self.record(container).exit_code(), self.policy()) {
            (None, _) | (Some(_), "Always") => true,
            (Some(code), "OnFailure") => code != 0,
            (Some(_), _) => false,
        }
    }

    /// True if the application will not run any more.
    fn ended(&self) -> bool {
        let failed_init = |c: &Container| {
            !is_sidecar(c)
                && self.policy() == "Never"
                && self.record(c).exit_code().is_some_and(|code| code != 0)
        };
        if !self.application_begun() && init_containers(self.pod).iter().any(failed_init) {
            return true;
        }
        containers(self.pod)
            .iter()
            .all(|c| self.record(c).exit_code().is_some() && !self.wants_run(c))
    }

    /// Starts init containers in order; true if the application may start.
    fn initialize(&self, decision: &mut Decision) -> bool {
        let begun = self.application_begun();
        for container in init_containers(self.pod) {
            let sidecar = is_sidecar(container);
            if begun && !sidecar {
                continue;
            }
            let record = self.record(container);
            if !record.is_running() && (sidecar || record.exit_code() != Some(0)) {
                self.start(container, decision);
            }
            // A sidecar that restarts later does not hold up the application.
            if !begun && !self.passed(container) {
                return false;
            }
        }
        true
    }

    fn start(&self, container: &Container, decision: &mut Decision) {
        let record = self.record(container);
        if record.is_running() {
            return;
        }
        match record.not_before() {
            Some(until) if until > self.now => {
                let wake = decision.wake_at.map_or(until, |at| at.min(until));
                decision.wake_at = Some(wake);
            }
            _ => decision.start.push(container.name.clone()),
        }
    }

    /// Application first; then the sidecars, the one started last first.
    fn wind_down(&self) -> Decision {
        let running = |c: &&Container| self.record(c).is_running();
        let names = |list: Vec<&Container>| list.into_iter().map(|c| c.name.clone()).collect();
        let ordinary: Vec<_> = containers(self.pod)
            .iter()
            .chain(init_containers(self.pod).iter().filter(|c| !is_sidecar(c)))
            .filter(running)
            .collect();
        if !ordinary.is_empty() {
            return Decision {
                stop: names(ordinary),
                ..Decision::default()
            };
        }
        let last = init_containers(self.pod).iter().rev().find(running);
        Decision {
            finished: last.is_none(),
            stop: names(last.into_iter().collect()),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests;
