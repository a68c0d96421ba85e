//! A world for tests of releases: a store, a controller whose view may lag, a control plane that
//! publishes late, proxies that apply late or not at all, streams, pods, metrics and persons.
//! Every choice comes from one seed.

mod store;
mod mesh;
mod controller;
mod monitor;
mod person;
mod runs;
mod scenarios;

use std::collections::BTreeMap;

use aviary_api::release::Release;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use controller::Controller;
use mesh::Mesh;
use monitor::Monitor;
use store::Store;

/// What may go wrong, as probabilities per occasion.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// A part of the controller's view is not brought up to date.
    stale: f64,
    /// A write is refused as a conflict.
    conflict: f64,
    /// The controller dies before a write.
    restart: f64,
    /// A proxy does not get or report anything for a while.
    deaf: f64,
    /// A proxy ends, or another one comes.
    churn: f64,
    /// The clock jumps, back or forth.
    jump: f64,
    /// Pods of the new version crash.
    crash: f64,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
/// How the versions do, and whether anybody can tell.
#[derive(Clone, Copy, Debug)]
struct Health {
    new_fails: bool,
    stable_fails: bool,
    metrics: bool,
    traffic: bool,
}

struct World {
    seed: u64,
    store: Store,
    mesh: Mesh,
    controller: Controller,
    monitor: Monitor,
    health: Health,
    now: Timestamp,
    rng: StdRng,
    faults: Faults,
    /// Writes that were tried so far.
    writes: u32,
    /// The controller dies before this one.
    killed_at: Option<u32>,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut store = Store::new();
        store.deploy("reviews-v1", "v1", 3);
        if rng.random_bool(0.5) {
            store.deploy("reviews-v2", "v2", 0);
        }
        let mesh = Mesh::new(rng.random_range(1..5), &store);
        Self {
            seed,
            store,
            mesh,
            controller: Controller::new(),
            monitor: Monitor::default(),
            health: Health {
                new_fails: false,
                stable_fails: false,
                metrics: true,
                traffic: true,
            },
            now: Timestamp::from_second(1_795_000_000).expect("a time"),
            rng,
            faults,
            writes: 0,
            killed_at: None,
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    /// Time passes and one thing or the other happens.
    fn step(&mut self) {
        self.now += SignedDuration::from_millis(self.rng.random_range(100..3000));
        if self.chance(self.faults.jump) {
            let seconds = self.rng.random_range(-120..600);
            self.now += SignedDuration::from_secs(seconds);
        }
        self.store.kubelet(&mut self.rng);
        if self.chance(self.faults.crash)
            && let Some(name) = self.store.crash_new()
        {
            self.monitor.crashed.insert(name);
        }
        self.move_proxies();
        self.control();
    }

    fn release(&self, name: &str) -> Option<&Release> {
        self.store.releases.get(name).map(|it| &**it)
    }
}

/// A release of `reviews` to `v2` with a strategy.
fn release(name: &str, strategy: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "service": "reviews",
            "new": {"version": "v2", "image": "reviews:2"},
            "strategy": strategy,
            "limits": {"ackDeadline": "20s", "drainDeadline": "60s", "readyDeadline": "5m"},
            "analysis": {"window": "5s", "checks": [
                {"name": "errors", "metric": "successRate", "bound": {"min": 99.0}},
                {"name": "slow", "metric": "durationP99", "bound": {"max": 1.0}, "dryRun": true},
            ]},
            "control": {},
        },
    })
}

/// A plan for any seed.
fn strategy(rng: &mut StdRng) -> Value {
    let pause = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => json!({"approval": true}),
        1 => json!({"duration": "8s"}),
        2 => json!({"duration": "3s", "approval": true}),
        _ => Value::Null,
    };
    match rng.random_range(0..6) {
        0 => json!({"blueGreen": {"pause": pause(rng), "keepOld": "20s"}}),
        1 => json!({"mirror": {"percentage": 50.0}}),
        2 => json!({"canary": {"matches": [{"headers": {"end-user": {"exact": "jason"}}}]}}),
        _ => {
            let mut weight = 0.0;
            let steps: Vec<Value> = (0..rng.random_range(1..4))
                .map(|_| {
                    weight += f64::from(rng.random_range(1..300_u32)) / 10.0;
                    json!({"weight": weight, "pause": pause(rng)})
                })
                .collect();
            json!({"canary": {"steps": steps}})
        }
    }
}

/// Numbers by version.
type Counts = BTreeMap<String, u32>;
