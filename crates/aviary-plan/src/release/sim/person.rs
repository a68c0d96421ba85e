//! Persons, who do anything at any time.

use aviary_api::release::{Phase, Role};
use rand::Rng;

use super::store::read;
use super::{World, release, strategy};

impl World {
    fn attempt(&self, name: &str) -> u32 {
        let status = self.release(name).and_then(|it| it.status.as_ref());
        status.map_or(1, |status| status.attempt)
    }

    /// Approves what waits for approval.
    pub(super) fn approve(&mut self, name: &str) {
        let attempt = self.attempt(name);
        self.store.edit(name, |release| {
            let step = release
                .status
                .as_ref()
                .and_then(|status| status.progress.step.as_ref());
            let number = step.map(|step| step.number.max(1));
            release.spec.control.attempt = Some(attempt);
            release.spec.control.approved_step = number.or(release.spec.control.approved_step);
        });
    }

    /// One random act.
    pub(super) fn act(&mut self) {
        let attempt = self.attempt("first");
        let pick = self.rng.random_range(0..22);
        let flag = self.rng.random_bool(0.5);
        let number = self.rng.random_range(1..4);
        match pick {
            0..=4 => self.approve("first"),
            5 => self.store.edit("first", |it| it.spec.control.paused = flag),
            6 => self.store.edit("first", |it| {
                it.spec.control.take_over = Some(if flag { Role::New } else { Role::Stable });
            }),
            7 | 8 => self
                .store
                .edit("first", |it| it.spec.control.take_over = None),
            9 if flag => self
                .store
                .edit("first", |it| it.spec.control.aborted = true),
            10 => self
                .store
                .edit("first", |it| it.spec.control.aborted = false),
            11 if flag => self.store.edit("first", |it| it.spec.control.restart += 1),
            12 => self.store.edit("first", |it| {
                it.spec.control.attempt = Some(attempt);
                it.spec.control.jump_to = flag.then_some(number);
            }),
            13 => {
                let changed = strategy(&mut self.rng);
                self.store
                    .edit("first", |it| it.spec.strategy = read(changed));
            }
            14 if flag => self.store.edit("first", |it| {
                it.spec.new.version = format!("v{}", number + 1);
                it.spec.new.image = Some(format!("reviews:{}", number + 1));
            }),
            15 => self.store.edit("first", |it| {
                it.spec.control.attempt = Some(attempt);
                it.spec.control.offline = flag;
            }),
            16 => {
                let plan = strategy(&mut self.rng);
                if self.release("second").is_none() {
                    let mut other = release("second", &plan);
                    other["spec"]["new"]["version"] = "v5".into();
                    other["spec"]["new"]["image"] = "reviews:5".into();
                    self.store.create(&other);
                }
            }
            17 => {
                let rules = if flag {
                    vec!["reviews.default VirtualService".to_owned()]
                } else {
                    Vec::new()
                };
                self.store.references.insert(format!("v{number}"), rules);
            }
            18 => self.health.metrics = flag,
            19 => self.health.traffic = flag,
            20 => self.health.new_fails = self.rng.random_bool(0.2),
            21 => self.health.stable_fails = self.rng.random_bool(0.2),
            _ => {}
        }
    }

    /// Removes a release, as `kubectl delete` does.
    pub(super) fn remove(&mut self, name: &str, keep: Role) {
        let unguarded = self
            .release(name)
            .is_some_and(|it| it.metadata.finalizers.as_ref().is_none_or(Vec::is_empty));
        if unguarded {
            self.store.releases.remove(name);
            return;
        }
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now);
        self.store.edit(name, |release| {
            release.metadata.deletion_timestamp = Some(now);
            release.spec.on_delete = keep;
        });
    }

    /// Whether nothing more will happen by itself.
    pub(super) fn has_ended(&self, name: &str) -> bool {
        self.release(name).is_none_or(|release| {
            let status = release.status.as_ref();
            let phase = status.map_or(Phase::Draft, |status| status.phase);
            phase.is_terminal() && !release.is_leaving()
        })
    }
}
