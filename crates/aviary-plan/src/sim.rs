//! A world for tests: a store of objects, the planners over a cache that may lag, a toy kubelet, a
//! virtual clock. Every choice comes from one seed.

mod kubelet;
mod manager;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use server::{Server, merge};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kind::{self, Kind};
use manager::Manager;

/// What may go wrong, as probabilities per step.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A delivery of watch events is put off.
    pub(crate) late: f64,
    /// A watch event comes twice.
    pub(crate) doubled: f64,
    /// A write is refused as a conflict.
    pub(crate) conflict: f64,
    /// The manager forgets everything, also in the middle of a plan.
    pub(crate) restart: f64,
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) manager: Manager,
    pub(crate) now: Timestamp,
    renewed: Timestamp,
    rng: StdRng,
    faults: Faults,
}

/// How often the node's lease is renewed.
const RENEWAL: SignedDuration = SignedDuration::from_secs(10);

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let now = Timestamp::from_second(1_795_000_000).expect("a time");
        let mut world = Self {
            server: Server::new(),
            manager: Manager::new(),
            now,
            renewed: Timestamp::UNIX_EPOCH,
            rng: StdRng::seed_from_u64(seed),
            faults,
        };
        let ready = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        world.server.insert(&kind::NODE, ready, now);
        world.server.insert(
            &kind::NAMESPACE,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"},
                "spec": {"finalizers": ["kubernetes"]}}),
            now,
        );
        world.renew_lease();
        world
    }

    /// Applies a user's object: creates it, or merges it over the old one.
    pub(crate) fn apply(&mut self, kind: &Kind, object: &Value) {
        let now = self.now;
        self.server.user_apply(kind, object, now);
    }

    /// Lets everything run until nothing is left to do, passing time as needed, at most `limit`.
    pub(crate) fn settle(&mut self, limit: SignedDuration) {
        let end = self.now + limit;
        let calm = std::mem::take(&mut self.faults);
        loop {
            while self.step() {}
            let next = [
                self.manager.next_timer(),
                self.server.next_kubelet(self.now),
                Some(self.renewed + RENEWAL),
            ];
            match next.into_iter().flatten().min() {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => break,
            }
            self.renew_lease();
        }
        self.faults = calm;
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, by: SignedDuration) {
        self.now += by;
        self.renew_lease();
    }

    /// The kubelet's sign of life; without it the node would count as unreachable.
    fn renew_lease(&mut self) {
        if self.now >= self.renewed + RENEWAL {
            self.renewed = self.now;
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "node-a", "namespace": "kube-node-lease"},
                "spec": {"renewTime": self.now.to_string()}});
            self.apply(&kind::LEASE, &lease);
        }
    }

    /// One thing happens: a delivery, a plan, an act of the kubelet; false if there is nothing.
    pub(crate) fn step(&mut self) -> bool {
        if self.faults.restart > 0.0 && self.rng.random_bool(self.faults.restart) {
            self.manager = Manager::new();
        }
        let now = self.now;
        let late = self.faults.late > 0.0 && self.rng.random_bool(self.faults.late);
        let delivered = !late
            && self
                .manager
                .deliver(&self.server, now, &mut self.rng, self.faults.doubled);
        let worked = self
            .manager
            .work(&mut self.server, now, &mut self.rng, self.faults);
        let acted = self.server.kubelet(now, &mut self.rng);
        late || delivered || worked || acted
    }

    pub(crate) fn get<K: DeserializeOwned>(&self, kind: &Kind, name: &str) -> K {
        let object = self.server.get(kind, name).expect("the object");
        serde_json::from_value(object.clone()).expect("an object of its kind")
    }

    pub(crate) fn all<K: DeserializeOwned>(&self, kind: &Kind) -> Vec<K> {
        let objects = self.server.all(kind);
        objects
            .map(|object| serde_json::from_value(object.clone()).expect("its kind"))
            .collect()
    }

    pub(crate) fn deployment(&self, name: &str) -> Deployment {
        self.get(&kind::DEPLOYMENT, name)
    }

    pub(crate) fn replica_sets(&self) -> Vec<ReplicaSet> {
        self.all(&kind::REPLICA_SET)
    }

    pub(crate) fn pods(&self) -> Vec<Pod> {
        self.all(&kind::POD)
    }

    /// Messages of the events of one reason so far, with revisions written as letters in order of
    /// their appearance: `A from 0 to 3`.
    pub(crate) fn scalings(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut lines = Vec::new();
        for event in self
            .manager
            .events
            .iter()
            .filter(|e| e.reason == "ScalingReplicaSet")
        {
            let words: Vec<&str> = event.message.split(' ').collect();
            let (name, from, to) = (words[4], words[6], words[8]);
            let index = names
                .iter()
                .position(|found| found == name)
                .unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
            let letter = char::from(b'A' + u8::try_from(index).expect("few revisions"));
            lines.push(format!("{letter} {from}->{to}"));
        }
        lines
    }
}

/// The Deployment of the goldens: surge 1, unavailable 1, 5 s to become available.
pub(crate) fn micro_api(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "micro-api", "namespace": "default"},
        "spec": {
            "replicas": 3, "minReadySeconds": 5, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "micro-api"}},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "micro-api"}},
                "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}
