//! The worker of one pod: carries out what [`lifecycle::decide`] says and reports the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::context::Context;
use crate::init::client::Watch;
use crate::init::protocol::PodState;
use crate::init::{self};
use crate::network::NODE_ADDRESS;
use crate::pod::lifecycle;
use crate::pod::record::{self, Records};
use crate::pod::{self};

mod adopt;
mod environment;
mod health;
mod hook;
mod probe;
mod report;
pub(super) mod sandbox;
mod start;
mod stop;
mod volume;

/// What a pod should be, as the API server last said.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) pod: Arc<Pod>,
    /// The object is gone: nothing of the pod may remain, at once.
    pub(super) gone: bool,
}

/// What the worker's helpers tell it.
#[derive(Debug)]
enum Note {
    Probe {
        container: String,
        attempt: u32,
        kind: probe::Kind,
        outcome: probe::Outcome,
    },
    /// A hook after the start failed: the container is to be restarted.
    HookFailed {
        container: String,
        attempt: u32,
        message: String,
    },
}

/// How long after a failed write or an absent ConfigMap the worker tries again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    context: Arc<Context>,
    target: watch::Receiver<Target>,
    pod: Pod,
    folder: PathBuf,
    socket: PathBuf,
    start_time: Timestamp,
    /// Present while the pod has its namespaces.
    states: Option<Watch>,
    address: Option<Ipv4Addr>,
    volumes: Option<BTreeMap<String, PathBuf>>,
    records: Records,
    /// Probes and hooks of a running container.
    helpers: BTreeMap<String, Vec<AbortHandle>>,
    /// Containers that are being stopped.
    stops: BTreeMap<String, AbortHandle>,
    tasks: JoinSet<()>,
    sender: mpsc::UnboundedSender<Note>,
    notes: mpsc::UnboundedReceiver<Note>,
    deadline: Option<stop::Deadline>,
    published: Option<PodStatus>,
    writing: Option<report::Writing>,
    /// Not before a failed write's next try.
    write_again_at: Option<Timestamp>,
    wake_at: Option<Timestamp>,
    /// Messages of troubles already told, to tell each once.
    told: BTreeSet<String>,
    /// The pod ended by itself and its namespaces are gone.
    ended: bool,
}

impl Worker {
    pub(super) fn new(context: Arc<Context>, target: watch::Receiver<Target>) -> Self {
        let pod = target.borrow().pod.as_ref().clone();
        let folder = init::folder(&context.home, pod::uid(&pod));
        let socket = init::socket(&folder);
        let (sender, notes) = mpsc::unbounded_channel();
        Self {
            context,
            target,
            folder,
            socket,
            start_time: adopt::start_time(&pod).unwrap_or_else(Timestamp::now),
            pod,
            states: None,
            address: None,
            volumes: None,
            records: Records::new(),
            helpers: BTreeMap::new(),
            stops: BTreeMap::new(),
            tasks: JoinSet::new(),
            sender,
            notes,
            deadline: None,
            published: None,
            writing: None,
            write_again_at: None,
            wake_at: None,
            told: BTreeSet::new(),
            ended: false,
        }
    }

    /// Runs until the pod is gone. Dropped earlier, it leaves the pod's processes as they are.
    pub(super) async fn run(mut self) {
        self.adopt().await;
        if self.states.is_none()
            && self
                .pod
                .status
                .as_ref()
                .is_some_and(|status| status.pod_ip.is_some())
        {
            // Nobody may be sent to the address that the pod had before the node was restarted.
            self.publish_now().await;
        }
        loop {
            self.wake_at = None;
            if self.target.borrow().gone {
                self.teardown().await;
                return;
            }
            self.note_deletion();
            if Box::pin(self.step()).await {
                return;
            }
            self.publish();
            if !self.wait().await {
                return;
            }
        }
    }

    /// Waits for whatever comes first and takes it in; false if the agent ends.
    async fn wait(&mut self) -> bool {
        let sleep = self.wake_at.map(|at| {
            let now = Timestamp::now();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        });
        tokio::select! {
            changed = self.target.changed() => {
                if changed.is_err() {
                    return false;
                }
                let mut pod = self.target.borrow_and_update().pod.as_ref().clone();
                // Our own last word is newer than what the watch brings back.
                if let Some(status) = &self.published {
                    pod.status = Some(status.clone());
                }
                self.pod = pod;
            }
            state = next_state(&mut self.states) => self.take_state(state),
            outcome = report::written(&mut self.writing) => self.take_written(outcome),
            Some(note) = self.notes.recv() => self.take_note(note),
            Some(_) = self.tasks.join_next() => {}
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
        }
        true
    }

    /// Decides and acts; true when the pod is gone for good.
    async fn step(&mut self) -> bool {
        if self.ended {
            return self.deadline.is_some() && self.remove().await;
        }
        let now = Timestamp::now();
        self.settle_pull_errors(now);
        let decision = lifecycle::decide(&self.pod, &self.records, self.deadline.is_some(), now);
        for name in &decision.stop {
            self.begin_stop(name, None);
        }
        if !decision.start.is_empty() {
            Box::pin(self.start_all(&decision.start)).await;
        }
        self.wake_until(decision.wake_at);
        if decision.finished {
            self.publish_now().await;
            if self.deadline.is_some() {
                return self.remove().await;
            }
            self.release().await;
            self.ended = true;
        }
        false
    }

    fn wake_until(&mut self, at: Option<Timestamp>) {
        self.wake_at = match (self.wake_at, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn wake_in(&mut self, delay: Duration) {
        self.wake_until(Some(Timestamp::now() + delay));
    }

    /// Takes in what init says, or that it is gone.
    fn take_state(&mut self, state: Result<PodState, init::Error>) {
        match state {
            Ok(state) => {
                for name in record::observe(&mut self.records, &state) {
                    self.changed(&name);
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    fn take_note(&mut self, note: Note) {
        match note {
            Note::Probe {
                container,
                attempt,
                kind,
                outcome,
            } => {
                if self.is_current(&container, attempt) {
                    self.probed(&container, kind, outcome);
                }
            }
            Note::HookFailed {
                container,
                attempt,
                message,
            } => {
                if self.is_current(&container, attempt) {
                    self.warn(&container, "FailedPostStartHook", message);
                    self.restart(&container, "FailedPostStartHook".to_owned(), None);
                }
            }
        }
    }

    fn is_current(&self, name: &str, attempt: u32) -> bool {
        self.records
            .get(name)
            .is_some_and(|record| record.is_running() && record.attempt == attempt)
    }

    fn container(&self, name: &str) -> Option<Container> {
        pod::all_containers(&self.pod)
            .find(|container| container.name == name)
            .cloned()
    }

    fn tell(&self, container: &str, reason: &'static str, message: String) {
        self.context
            .events
            .normal(&self.pod, Some(container), reason, message);
    }

    fn warn(&self, container: &str, reason: &'static str, message: String) {
        self.context
            .events
            .warning(&self.pod, Some(container), reason, message);
    }

    fn on_node_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
    }

    fn reachable_at(&self) -> Ipv4Addr {
        self.address.unwrap_or(NODE_ADDRESS)
    }
}

/// The next state, or never while there is no init.
async fn next_state(states: &mut Option<Watch>) -> Result<PodState, init::Error> {
    match states {
        Some(states) => states.next().await,
        None => std::future::pending().await,
    }
}
