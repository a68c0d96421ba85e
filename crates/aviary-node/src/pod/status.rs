//! The pod's status as the API shows it.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::go_duration;
use super::lifecycle::{self, Phase};
use super::record::{Ended, Record, Records, Run};
use super::{containers, init_containers, is_sidecar, uid};

/// What the status says beside the containers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// `None` until the pod has its namespaces.
    pub(crate) address: Option<Ipv4Addr>,
    /// When the agent first saw the pod.
    pub(crate) start_time: Timestamp,
    pub(crate) now: Timestamp,
}

/// Computes the status; conditions keep their transition times from the pod's present one.
pub(crate) fn status(pod: &Pod, records: &Records, place: Place) -> PodStatus {
    let phase = lifecycle::phase(pod, records);
    let each = |list: &[Container]| -> Option<Vec<ContainerStatus>> {
        let statuses: Vec<_> = list
            .iter()
            .map(|c| container_status(pod, c, records))
            .collect();
        (!statuses.is_empty()).then_some(statuses)
    };
    let address = place.address.map(|address| address.to_string());
    let host = Ipv4Addr::LOCALHOST.to_string();
    PodStatus {
        phase: Some(phase.name().to_owned()),
        observed_generation: pod.metadata.generation,
        start_time: Some(Time(whole_seconds(place.start_time))),
        host_ip: Some(host.clone()),
        host_ips: Some(vec![HostIP { ip: host }]),
        pod_ip: address.clone(),
        pod_ips: address.map(|ip| vec![PodIP { ip }]),
        conditions: Some(conditions(pod, records, phase, place)),
        init_container_statuses: each(init_containers(pod)),
        container_statuses: each(containers(pod)),
        ..PodStatus::default()
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn container_status(pod: &Pod, container: &Container, records: &Records) -> ContainerStatus {
    let record = records.get(&container.name).cloned().unwrap_or_default();
    let id = format!("process://{}-{}", uid(pod), container.name);
    let waits_for_init = !init_containers(pod).is_empty();
    let finished_init = init_containers(pod)
        .iter()
        .any(|c| c.name == container.name && !is_sidecar(c));
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: String::new(),
        container_id: (!matches!(record.run, Run::Never)).then(|| id.clone()),
        // An init container that did its work counts as ready.
        ready: record.ready || (finished_init && record.exit_code() == Some(0)),
        started: Some(record.started),
        restart_count: i32::try_from(record.attempt).unwrap_or(i32::MAX),
        state: Some(state(pod, container, &record, &id, waits_for_init)),
        last_state: Some(last_state(&record, &id, restarts(pod, container, &record))),
        ..ContainerStatus::default()
    }
}

/// True if an ended container is going to run again.
fn restarts(pod: &Pod, container: &Container, record: &Record) -> bool {
    let policy = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    let deleted = pod.metadata.deletion_timestamp.is_some();
    let init = init_containers(pod)
        .iter()
        .any(|c| c.name == container.name);
    let code = record.exit_code().unwrap_or_default();
    let again = match policy.unwrap_or("Always") {
        _ if is_sidecar(container) => true,
        "Never" => false,
        "OnFailure" => code != 0,
        _ => !init || code != 0,
    };
    again && !deleted
}

fn state(
    pod: &Pod,
    container: &Container,
    record: &Record,
    id: &str,
    waits_for_init: bool,
) -> ContainerState {
    let waiting = |reason: &str, message: Option<String>| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    };
    if let Some(trouble) = &record.trouble
        && !record.is_running()
    {
        return waiting(trouble.reason, Some(trouble.message.clone()));
    }
    match &record.run {
        Run::Running { since } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(Time(whole_seconds(*since))),
            }),
            ..ContainerState::default()
        },
        Run::Never if waits_for_init => waiting("PodInitializing", None),
        Run::Never => waiting("ContainerCreating", None),
        Run::Ended(_) if record.crash.until().is_some() && restarts(pod, container, record) => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(record.crash.current_delay()),
                container.name,
                pod.metadata.name.as_deref().unwrap_or_default(),
                pod.metadata.namespace.as_deref().unwrap_or_default(),
                uid(pod),
            );
            waiting("CrashLoopBackOff", Some(message))
        }
        Run::Ended(ended) => terminated(ended, id),
    }
}

fn last_state(record: &Record, id: &str, restarts: bool) -> ContainerState {
    match (&record.run, &record.last) {
        // The state says that it waits, so the end is the last state.
        (Run::Ended(ended), _)
            if restarts && (record.crash.until().is_some() || record.trouble.is_some()) =>
        {
            terminated(ended, id)
        }
        (_, Some(last)) => terminated(last, id),
        _ => ContainerState::default(),
    }
}

fn terminated(ended: &Ended, id: &str) -> ContainerState {
    let exit = &ended.exit;
    let reason = match (exit.code, &exit.message) {
        (0, _) => "Completed",
        (128, Some(_)) => "StartError",
        (255, Some(_)) => "Unknown",
        _ => "Error",
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(id.to_owned()),
            exit_code: exit.code,
            signal: exit.signal,
            reason: Some(reason.to_owned()),
            message: exit.message.clone(),
            started_at: Some(Time(whole_seconds(ended.started_at))),
            finished_at: Some(Time(whole_seconds(exit.finished_at))),
        }),
        ..ContainerState::default()
    }
}

fn conditions(pod: &Pod, records: &Records, phase: Phase, place: Place) -> Vec<PodCondition> {
    let unready: Vec<&str> = init_containers(pod)
        .iter()
        .filter(|c| is_sidecar(c))
        .chain(containers(pod))
        .filter(|c| !records.get(&c.name).is_some_and(|record| record.ready))
        .map(|c| c.name.as_str())
        .collect();
    let uninitialized: Vec<&str> = init_containers(pod)
        .iter()
        .filter(|c| {
            let record = records.get(&c.name).cloned().unwrap_or_default();
            let passed = if is_sidecar(c) {
                record.started
            } else {
                record.exit_code() == Some(0)
            };
            !passed
        })
        .map(|c| c.name.as_str())
        .collect();
    let completed = Some(("PodCompleted", String::new()));
    let ready = match phase {
        Phase::Succeeded => Err(completed),
        Phase::Failed => Err(Some(("PodFailed", String::new()))),
        _ if unready.is_empty() => Ok(()),
        _ => Err(Some((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ))),
    };
    let initialized = if lifecycle::initialized(pod, records) || phase == Phase::Succeeded {
        Ok(())
    } else {
        Err(Some((
            "ContainersNotInitialized",
            format!(
                "containers with incomplete status: [{}]",
                uninitialized.join(" ")
            ),
        )))
    };
    let sandbox = if place.address.is_some() && !matches!(phase, Phase::Succeeded | Phase::Failed) {
        Ok(())
    } else {
        Err(None)
    };
    let mut all = vec![
        condition(pod, "PodReadyToStartContainers", sandbox, place.now),
        condition(pod, "Initialized", initialized, place.now),
        condition(pod, "Ready", ready.clone(), place.now),
        condition(pod, "ContainersReady", ready, place.now),
    ];
    all.push(condition(pod, "PodScheduled", Ok(()), place.now));
    all
}

type Verdict = Result<(), Option<(&'static str, String)>>;

fn condition(pod: &Pod, kind: &str, verdict: Verdict, now: Timestamp) -> PodCondition {
    let before = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default()
        .iter()
        .find(|condition| condition.type_ == kind);
    let status = if verdict.is_ok() { "True" } else { "False" };
    let changed = before.is_none_or(|before| before.status != status);
    let since = match before.and_then(|before| before.last_transition_time.clone()) {
        Some(time) if !changed => time,
        _ => Time(whole_seconds(now)),
    };
    let (reason, message) = match verdict {
        Err(Some((reason, message))) => (
            Some(reason.to_owned()),
            (!message.is_empty()).then_some(message),
        ),
        _ => (None, None),
    };
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason,
        message,
        last_probe_time: None,
        last_transition_time: Some(since),
        observed_generation: pod.metadata.generation,
    }
}

#[cfg(test)]
mod tests;
