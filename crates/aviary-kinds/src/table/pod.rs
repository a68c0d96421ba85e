//! The row of a pod: one word for all that its containers are going through.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::since,
    cells::{list, text},
};

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match &summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, since(&json!(time), now))
        }
        _ => summary.restarts.to_string(),
    };
    let ip = list(&pod["status"]["podIPs"])
        .first()
        .map_or_else(|| text(&pod["status"]["podIP"]), |first| text(&first["ip"]));
    vec![
        pod["metadata"]["name"].clone(),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.word),
        json!(restarts),
        json!(since(&pod["metadata"]["creationTimestamp"], now)),
        json!(or_none(ip)),
        json!(or_none(text(&pod["spec"]["nodeName"]))),
        json!(or_none(text(&pod["status"]["nominatedNodeName"]))),
        json!(readiness_gates(pod)),
    ]
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let met = gates
        .iter()
        .filter(|gate| condition(pod, text(&gate["conditionType"])).1 == "True");
    format!("{}/{}", met.count(), gates.len())
}

/// Reason and status of a condition; empty when there is none.
fn condition<'a>(pod: &'a Value, kind: &str) -> (&'a str, &'a str) {
    list(&pod["status"]["conditions"])
        .iter()
        .find(|condition| condition["type"] == kind)
        .map_or(("", ""), |found| {
            (text(&found["reason"]), text(&found["status"]))
        })
}

struct Summary {
    ready: usize,
    total: usize,
    word: String,
    restarts: i64,
    last_restart: Option<String>,
}

/// Restarts of a group of containers and the time of the latest.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<String>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += status["restartCount"].as_i64().unwrap_or(0);
        // RFC 3339 texts in UTC order as their times do.
        let finished = status["lastState"]["terminated"]["finishedAt"]
            .as_str()
            .map(str::to_owned);
        self.last = self.last.take().max(finished);
    }
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(&pod["status"]["phase"]);
        let reason = text(&pod["status"]["reason"]);
        let mut summary = Self {
            ready: 0,
            total: list(&pod["spec"]["containers"]).len(),
            word: if reason.is_empty() { phase } else { reason }.to_owned(),
            restarts: 0,
            last_restart: None,
        };
        if condition(pod, "PodScheduled").0 == "SchedulingGated" {
            "SchedulingGated".clone_into(&mut summary.word);
        }
        let initializing = summary.read_init_containers(pod);
        if !initializing || condition(pod, "Initialized").1 == "True" {
            summary.read_containers(pod);
        }
        let deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        if deleted && reason == "NodeLost" {
            "Unknown".clone_into(&mut summary.word);
        } else if deleted && !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.word);
        }
        summary
    }

    /// Goes through the init containers up to the one that holds the pod back; whether there is
    /// one. Sidecars (restartable init containers) count as containers.
    fn read_init_containers(&mut self, pod: &Value) -> bool {
        let specs = list(&pod["spec"]["initContainers"]);
        let is_sidecar = |name: &Value| {
            specs
                .iter()
                .any(|spec| spec["name"] == *name && spec["restartPolicy"] == "Always")
        };
        self.total += specs
            .iter()
            .filter(|spec| spec["restartPolicy"] == "Always")
            .count();
        let (mut all, mut sidecars) = (Restarts::default(), Restarts::default());
        let mut holding = None;
        for (index, status) in list(&pod["status"]["initContainerStatuses"])
            .iter()
            .enumerate()
        {
            let sidecar = is_sidecar(&status["name"]);
            all.add(status);
            if sidecar {
                sidecars.add(status);
            }
            if status["state"]["terminated"]["exitCode"] == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            holding = Some(init_word(status, index, specs.len()));
            break;
        }
        let initialized = condition(pod, "Initialized").1 == "True";
        let counted = if holding.is_none() || initialized {
            sidecars
        } else {
            all
        };
        (self.restarts, self.last_restart) = (counted.count, counted.last);
        match holding {
            Some(word) => {
                self.word = word;
                true
            }
            None => false,
        }
    }

    fn read_containers(&mut self, pod: &Value) {
        let mut restarts = Restarts {
            count: self.restarts,
            last: self.last_restart.take(),
        };
        let mut running = false;
        for status in list(&pod["status"]["containerStatuses"]).iter().rev() {
            restarts.add(status);
            let state = &status["state"];
            let waiting = text(&state["waiting"]["reason"]);
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.word);
            } else if state["terminated"].is_object() {
                self.word = terminated_word(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.word == "Completed" && running {
            let ready = condition(pod, "Ready").1 == "True";
            if ready { "Running" } else { "NotReady" }.clone_into(&mut self.word);
        }
        (self.restarts, self.last_restart) = (restarts.count, restarts.last);
    }
}

fn init_word(status: &Value, index: usize, total: usize) -> String {
    let state = &status["state"];
    let waiting = text(&state["waiting"]["reason"]);
    if state["terminated"].is_object() {
        format!("Init:{}", terminated_word(&state["terminated"]))
    } else if !waiting.is_empty() && waiting != "PodInitializing" {
        format!("Init:{waiting}")
    } else {
        format!("Init:{index}/{total}")
    }
}

fn terminated_word(terminated: &Value) -> String {
    let reason = text(&terminated["reason"]);
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match terminated["signal"].as_i64() {
        Some(signal) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
    }
}
