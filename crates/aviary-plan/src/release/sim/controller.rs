//! The controller: a view that may lag in each of its parts, and a hand that may be stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use aviary_api::release::{Release, ReleaseStatus, Verdict, VerdictStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use rand::Rng;
use serde::Deserialize;
use serde_json::Value;

use super::World;
use super::store::read;
use crate::kind::{DEPLOYMENT, LEASE, RELEASE};
use crate::plan::{Action, Plan, Target};
use crate::release::{Measurement, Observed, Proxy, View, plan};
use crate::sim::merge;

pub(super) struct Controller {
    releases: BTreeMap<String, Arc<Release>>,
    deployments: BTreeMap<String, Arc<Deployment>>,
    lease: Option<Arc<Lease>>,
    proxies: BTreeMap<String, Vec<Proxy>>,
    /// Occasions until the list of proxies is complete.
    blind: u32,
    /// The objects were listed at least once.
    listed: bool,
}

impl Controller {
    pub(super) fn new() -> Self {
        Self {
            releases: BTreeMap::new(),
            deployments: BTreeMap::new(),
            lease: None,
            proxies: BTreeMap::new(),
            blind: 2,
            listed: false,
        }
    }
}

impl World {
    /// The controller looks at each release once.
    pub(super) fn control(&mut self) {
        self.look();
        let names: Vec<String> = self.controller.releases.keys().cloned().collect();
        for name in names {
            if self.rng.random_bool(0.8) {
                self.work(&name);
            }
        }
    }

    /// Brings parts of the view up to date.
    fn look(&mut self) {
        let stale = |world: &mut Self| world.controller.listed && world.chance(world.faults.stale);
        if !stale(self) {
            self.controller.releases.clone_from(&self.store.releases);
        }
        if !stale(self) {
            self.controller
                .deployments
                .clone_from(&self.store.deployments);
        }
        if !stale(self) {
            self.controller.lease.clone_from(&self.store.lease);
        }
        for release in self.store.releases.values() {
            let uid = release.metadata.uid.clone().unwrap_or_default();
            let facts = self.mesh.facts(&uid);
            if self.faults.stale == 0.0 || !self.rng.random_bool(self.faults.stale) {
                self.controller.proxies.insert(uid, facts);
            }
        }
        self.controller.listed = true;
        self.controller.blind = self.controller.blind.saturating_sub(1);
    }

    pub(super) fn plan_for(&mut self, name: &str) -> Option<Plan> {
        let release = self.controller.releases.get(name)?.clone();
        let uid = release.metadata.uid.clone().unwrap_or_default();
        let known = self.controller.blind == 0;
        let view = View {
            release: &release,
            service: Some(Arc::clone(&self.store.service)),
            deployments: self.controller.deployments.values().cloned().collect(),
            lease: self.controller.lease.clone(),
            proxies: self.controller.proxies.get(&uid).filter(|_| known).cloned(),
            measurements: self.measure(&release),
            observed: self.observe(&release),
            references: self.store.references.clone(),
        };
        Some(plan(&view, self.now))
    }

    fn work(&mut self, name: &str) {
        let Some(plan) = self.plan_for(name) else {
            return;
        };
        for action in &plan.actions {
            self.writes += 1;
            if self.chance(self.faults.restart) || self.killed_at == Some(self.writes) {
                self.controller = Controller::new();
                return;
            }
            let refused = self.chance(self.faults.conflict);
            if refused || !self.carry_out(name, action) {
                return;
            }
        }
    }

    /// What metrics say of the overlay in the controller's view, whether it is live or not.
    fn measure(&mut self, release: &Release) -> Vec<Measurement> {
        let overlay = release
            .status
            .as_ref()
            .and_then(|status| status.overlay.as_ref());
        let Some(overlay) = overlay.filter(|_| self.health.metrics) else {
            return Vec::new();
        };
        let verdict = |fails: bool| match (self.health.traffic, fails) {
            (false, _) => Verdict::Inconclusive,
            (true, false) => Verdict::Pass,
            (true, true) => Verdict::Fail,
        };
        let one = |check: &str, new: Verdict, stable: Verdict, from: Timestamp| Measurement {
            verdict: VerdictStatus {
                check: check.to_owned(),
                new,
                stable,
                bound: "at least 99".to_owned(),
                ..VerdictStatus::default()
            },
            revision: overlay.revision,
            from,
            at: self.now,
        };
        let (new, stable) = (
            verdict(self.health.new_fails),
            verdict(self.health.stable_fails),
        );
        let from = self.now - SignedDuration::from_secs(6);
        vec![
            one("errors", new, stable, from),
            one("slow", Verdict::Fail, Verdict::Pass, from),
        ]
    }

    /// A measured split that is near the one given out, within the band of chance.
    fn observe(&mut self, release: &Release) -> Option<Observed> {
        let status = release.status.as_ref()?;
        let overlay = status.overlay.as_ref()?;
        let parts = overlay.parts_of(&status.new.as_ref()?.version);
        Some(Observed {
            revision: overlay.revision,
            parts: parts + self.rng.random_range(0..100),
            least: parts.saturating_sub(1000),
        })
    }

    /// False if the server refused.
    fn carry_out(&mut self, by: &str, action: &Action) -> bool {
        match action {
            Action::Event(_) => true,
            Action::UpdateStatus { kind, object } if *kind == RELEASE => {
                self.write_status(by, object)
            }
            Action::Update { kind, object } if *kind == LEASE => {
                let mut lease: Lease = read(object.clone());
                let Some(before) = self.store.lease.clone() else {
                    return false;
                };
                let done = self
                    .store
                    .stamp(&mut lease.metadata, Some(&before.metadata));
                if done {
                    self.store.lease = Some(Arc::new(lease));
                }
                done
            }
            Action::Create { kind, object, .. } if *kind == LEASE => {
                let mut lease: Lease = read(object.clone());
                if self.store.lease.is_none() {
                    self.store.stamp(&mut lease.metadata, None);
                    self.store.lease = Some(Arc::new(lease));
                }
                true
            }
            Action::Create { kind, object, .. } if *kind == DEPLOYMENT => self.derive(by, object),
            Action::Patch { target, patch } => self.patch(by, target, patch),
            Action::Delete { target, .. } if target.kind == DEPLOYMENT => {
                let found = self.store.deployments.get(&target.name).cloned();
                let Some(found) = found.filter(|it| it.metadata.uid.as_ref() == Some(&target.uid))
                else {
                    return false;
                };
                self.check_deletion(by, &found);
                self.store.deployments.remove(&target.name);
                true
            }
            other => panic!("seed {}: a planner must not {other:?} (I7)", self.seed),
        }
    }

    fn write_status(&mut self, by: &str, object: &Value) -> bool {
        let Some(release) = self.store.releases.get(by).cloned() else {
            return false;
        };
        let version = object["metadata"]["resourceVersion"].as_str();
        if release.metadata.resource_version.as_deref() != version {
            return false;
        }
        let status = ReleaseStatus::deserialize(&object["status"]).expect("a status");
        self.check_status(&release, &status);
        let mut release = Arc::unwrap_or_clone(release);
        release.status = Some(status);
        self.store.stamp(&mut release.metadata, None);
        self.store.releases.insert(by.to_owned(), Arc::new(release));
        self.check_alone();
        true
    }

    fn derive(&mut self, by: &str, object: &Value) -> bool {
        let mut deployment: Deployment = read(object.clone());
        let name = deployment.metadata.name.clone().expect("a name");
        if self.store.deployments.contains_key(&name) {
            return false;
        }
        self.check_growth(by, &deployment);
        self.store.stamp(&mut deployment.metadata, None);
        self.store.deployments.insert(name, Arc::new(deployment));
        true
    }

    fn patch(&mut self, by: &str, target: &Target, patch: &Value) -> bool {
        let version = patch["metadata"]["resourceVersion"].as_str();
        assert!(version.is_some(), "seed {}: an unguarded patch", self.seed);
        if target.kind == RELEASE {
            return self.patch_finalizers(&target.name, version, patch);
        }
        let Some(before) = self.store.deployments.get(&target.name).cloned() else {
            return false;
        };
        if before.metadata.resource_version.as_deref() != version {
            return false;
        }
        let mut value = serde_json::to_value(&*before).expect("JSON");
        merge(&mut value, patch);
        let mut after: Deployment = read(value);
        self.check_scaling(by, &before, &after);
        self.store.stamp(&mut after.metadata, None);
        self.store
            .deployments
            .insert(target.name.clone(), Arc::new(after));
        true
    }

    fn patch_finalizers(&mut self, name: &str, version: Option<&str>, patch: &Value) -> bool {
        let Some(release) = self.store.releases.get(name).cloned() else {
            return false;
        };
        let mut release = Arc::unwrap_or_clone(release);
        if release.metadata.resource_version.as_deref() != version {
            return false;
        }
        let all: Vec<String> = read(patch["metadata"]["finalizers"].clone());
        let gone = all.is_empty() && release.is_leaving();
        release.metadata.finalizers = Some(all);
        self.store.stamp(&mut release.metadata, None);
        if gone {
            self.check_leaving(&release);
            self.store.releases.remove(name);
            let owner = self.store.lease.as_ref().and_then(|lease| {
                let owners = lease.metadata.owner_references.as_ref()?;
                Some(owners.first()?.uid.clone())
            });
            if owner == release.metadata.uid {
                self.store.lease = None;
            }
        } else {
            self.store
                .releases
                .insert(name.to_owned(), Arc::new(release));
        }
        true
    }
}
