use aviary_api::release::{Phase, Role};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Faults, Health, World, release, strategy};

/// Runs of the test; `AVIARY_SIM_RUNS` gives another number, `AVIARY_SIM_SEED` a single one.
const RUNS: u64 = 200;
/// Steps after which a run that is left alone must have ended.
const STEPS_MAX: u32 = 3000;

#[expect(
    clippy::disallowed_methods,
    reason = "a person chooses what is replayed"
)]
fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("AVIARY_SIM_SEED") {
        return vec![seed.parse().expect("AVIARY_SIM_SEED is a number")];
    }
    let runs = std::env::var("AVIARY_SIM_RUNS");
    let runs = runs.map_or(RUNS, |runs| {
        runs.parse().expect("AVIARY_SIM_RUNS is a number")
    });
    (0..runs).collect()
}

fn faults(rng: &mut StdRng) -> Faults {
    let mut one = |most: f64| rng.random_range(0.0..most);
    Faults {
        stale: one(0.6),
        conflict: one(0.2),
        restart: one(0.1),
        deaf: one(0.05),
        churn: one(0.05),
        jump: one(0.02),
        crash: one(0.01),
    }
}

impl World {
    /// Lets the world run until a release has ended.
    fn finish(&mut self, name: &str, approves: bool) {
        self.faults = Faults::default();
        self.wake_proxies();
        for _ in 0..STEPS_MAX {
            if self.has_ended(name) {
                return;
            }
            if approves {
                self.approve(name);
            }
            self.step();
        }
        let release = self.release(name).map(|it| (&it.spec, &it.status));
        panic!("seed {}: `{name}` does not end: {release:#?}", self.seed);
    }

    /// Anything happens for a while.
    fn live_through(&mut self, steps: u32) {
        for _ in 0..steps {
            if self.rng.random_bool(0.08) {
                self.act();
            }
            self.step();
        }
    }

    /// I5: whatever happened, abort ends it, without any metric.
    fn abort_and_finish(&mut self) {
        self.health.metrics = false;
        self.store.edit("first", |release| {
            release.spec.control.aborted = true;
            release.spec.control.take_over = None;
            release.spec.control.offline = false;
            release.spec.control.restart = 0;
            let label = release.status.as_ref().and_then(|it| it.new.as_ref());
            if let Some(new) = label {
                release.spec.new.version.clone_from(&new.version);
            }
        });
        self.faults = Faults::default();
        self.wake_proxies();
        for _ in 0..STEPS_MAX {
            let status = self.release("first").and_then(|it| it.status.clone());
            let phase = status.map_or(Phase::Draft, |it| it.phase);
            if matches!(phase, Phase::Draft | Phase::RolledBack | Phase::Offline) {
                return;
            }
            if phase == Phase::Completed && self.is_superseded() {
                return;
            }
            self.step();
        }
        let release = self.release("first");
        panic!("seed {}: I5: not aborted: {release:#?}", self.seed);
    }

    /// Another release has, or had, the Service since.
    fn is_superseded(&self) -> bool {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        let claim = status.and_then(|it| it.seen.claim.as_ref());
        let lease = self.store.lease.as_ref();
        let now = lease.and_then(|it| it.spec.as_ref()?.lease_transitions);
        self.release("second").is_some() && claim.map(|it| it.transitions) != now
    }

    /// Persons want to see it through.
    fn carry_on(&mut self) {
        self.health = Health {
            new_fails: false,
            stable_fails: false,
            metrics: true,
            traffic: true,
        };
        if self.release("second").is_some() {
            self.remove("second", Role::Stable);
            self.faults = Faults::default();
            self.wake_proxies();
            for _ in 0..STEPS_MAX {
                if self.release("second").is_none() {
                    break;
                }
                self.store.edit("first", |it| it.spec.control.paused = true);
                self.step();
            }
            assert!(
                self.release("second").is_none(),
                "seed {}: stays",
                self.seed
            );
        }
        self.store.edit("first", |release| {
            release.spec.control.paused = false;
            release.spec.control.aborted = false;
            release.spec.control.take_over = None;
        });
    }
}

fn run(seed: u64) -> World {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut world = World::new(seed, faults(&mut rng));
    world.store.create(&release("first", &strategy(&mut rng)));
    let steps = rng.random_range(20..120);
    world.live_through(steps);
    match seed % 4 {
        0 => world.abort_and_finish(),
        1 => {
            let keep = if rng.random_bool(0.5) {
                Role::Stable
            } else {
                Role::New
            };
            world.carry_on();
            world.remove("first", keep);
            world.finish("first", false);
            assert!(world.release("first").is_none(), "seed {seed}: stays");
        }
        _ => {
            world.carry_on();
            world.finish("first", true);
        }
    }
    world
}

#[test]
fn simulation_with_everything_keeps_invariants_and_ends() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in seeds() {
        for (phase, count) in run(seed).monitor.seen {
            *seen.entry(phase).or_insert(0) += count;
        }
    }
    println!("writes by phase: {seen:?}");
}
