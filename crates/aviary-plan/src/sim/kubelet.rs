//! The toy kubelet: bound pods become ready after a while, deleted ones end after a while.

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::Server;
use crate::kind;
use crate::object::api_time;

impl Server {
    /// When the kubelet has something to do next, after `now`.
    pub(super) fn next_kubelet(&self, now: Timestamp) -> Option<Timestamp> {
        self.due.values().filter(|at| **at > now).min().copied()
    }

    /// One act, if one is due.
    pub(super) fn kubelet(&mut self, now: Timestamp, rng: &mut StdRng) -> bool {
        let waiting = self.all(&kind::POD).find_map(|pod| {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let ending = !pod["metadata"]["deletionTimestamp"].is_null();
            let starting = pod["spec"]["nodeName"].is_string() && pod["status"]["phase"].is_null();
            (ending || starting).then(|| (name.to_owned(), ending))
        });
        let candidates: Vec<(String, bool)> = self
            .all(&kind::POD)
            .filter_map(|pod| {
                let name = pod["metadata"]["name"].as_str().expect("a name");
                let ending = !pod["metadata"]["deletionTimestamp"].is_null();
                let starting =
                    pod["spec"]["nodeName"].is_string() && pod["status"]["phase"].is_null();
                (ending || starting).then(|| (name.to_owned(), ending))
            })
            .collect();
        if waiting.is_none() {
            return false;
        }
        for (name, ending) in candidates {
            let Some(at) = self.due.get(&name).copied() else {
                let pause = SignedDuration::from_millis(rng.random_range(0..4000));
                self.due.insert(name, now + pause);
                return true;
            };
            if at > now {
                continue;
            }
            if ending {
                self.erase(&kind::POD, &name);
                self.due.remove(&name);
            } else {
                let address = format!("10.244.0.{}", rng.random_range(2..250));
                self.change(&kind::POD, &name, |pod| {
                    pod["status"] = running(&address, now);
                });
                self.due.remove(&name);
            }
            return true;
        }
        false
    }
}

fn running(address: &str, now: Timestamp) -> Value {
    json!({
        "phase": "Running",
        "podIP": address,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": api_time(now)}],
    })
}
