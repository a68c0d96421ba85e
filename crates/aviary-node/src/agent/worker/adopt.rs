//! Taking over a pod that runs already, or that ran before the node was restarted.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::Worker;
use crate::init::PodSpec;
use crate::init::client::Watch;
use crate::init::protocol::Exit;
use crate::pod::backoff::Backoff;
use crate::pod::record::{self, Ended, Record, Run};

/// `status.startTime`, which a pod keeps for its life.
pub(super) fn start_time(pod: &Pod) -> Option<Timestamp> {
    Some(pod.status.as_ref()?.start_time.as_ref()?.0)
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref());
    let application = status.and_then(|status| status.container_statuses.as_deref());
    init.into_iter().chain(application).flatten()
}

impl Worker {
    /// Finds out what there is: a running init, only its remains, or nothing.
    pub(super) async fn adopt(&mut self) {
        let phase = self
            .pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        self.ended = matches!(phase, Some("Succeeded" | "Failed"));
        let spec = std::fs::read(self.folder.join("init.json"))
            .ok()
            .and_then(|text| serde_json::from_slice::<PodSpec>(&text).ok());
        if let Some(spec) = spec {
            // Known before the probes begin.
            self.address = Some(spec.address.unwrap_or(crate::network::NODE_ADDRESS));
            if let Ok(states) = Watch::open(&self.socket)
                && self.take_over(states).await
            {
                return;
            }
            self.address = None;
            if let Some(address) = spec.address {
                self.context.pool.lock().release(address);
            }
        }
        if !self.ended {
            self.remember_lost_run();
        }
    }

    async fn take_over(&mut self, mut states: Watch) -> bool {
        let Ok(state) = states.next().await else {
            return false;
        };
        for status in statuses(&self.pod) {
            let record = self.records.entry(status.name.clone()).or_default();
            let restarts = u32::try_from(status.restart_count).unwrap_or_default();
            record.crash = Backoff::after(restarts);
            record.last = status
                .last_state
                .as_ref()
                .and_then(|s| ended(s.terminated.as_ref()));
        }
        let changed = record::observe(&mut self.records, &state);
        for status in statuses(&self.pod) {
            let attempt = u32::try_from(status.restart_count).unwrap_or_default();
            if let Some(record) = self.records.get_mut(&status.name)
                && record.is_running()
                && record.attempt == attempt
            {
                record.started = status.started.unwrap_or_default();
                record.ready = status.ready;
            }
        }
        self.states = Some(states);
        for name in changed {
            self.resume(&name);
        }
        tracing::info!(pod = self.pod.metadata.name, "adopted");
        true
    }

    /// The node was restarted: what ran is gone and its next run is one more attempt.
    fn remember_lost_run(&mut self) {
        for status in statuses(&self.pod) {
            if status.container_id.is_none() {
                continue;
            }
            let started_at = status
                .state
                .as_ref()
                .and_then(|state| state.running.as_ref()?.started_at.as_ref())
                .map_or_else(Timestamp::now, |time| time.0);
            let terminated = status
                .state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            let lost = Ended {
                started_at,
                exit: Exit {
                    finished_at: Timestamp::now(),
                    code: 255,
                    signal: None,
                    message: Some("the node was restarted".to_owned()),
                },
            };
            let record = Record {
                attempt: u32::try_from(status.restart_count).unwrap_or_default() + 1,
                run: Run::Never,
                last: Some(ended(terminated).unwrap_or(lost)),
                ..Record::default()
            };
            self.records.insert(status.name.clone(), record);
        }
    }
}

fn ended(state: Option<&ContainerStateTerminated>) -> Option<Ended> {
    let state = state?;
    Some(Ended {
        started_at: state.started_at.as_ref()?.0,
        exit: Exit {
            finished_at: state.finished_at.as_ref()?.0,
            code: state.exit_code,
            signal: state.signal,
            message: state.message.clone(),
        },
    })
}
