//! The invariants, judged by what really is and not by what the controller knows.

use std::collections::{BTreeMap, BTreeSet};

use aviary_api::release::{Overlay, Phase, Release, ReleaseStatus, WHOLE};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;

use super::World;
use super::mesh::Live;
use super::store::label;
use crate::release::workload::wanted;

#[derive(Default)]
pub(super) struct Monitor {
    /// Versions whose pods crashed at some time: no planner can promise that they are reachable.
    pub(super) crashed: BTreeSet<String>,
    /// Phases that were seen, so that a test can say what it covers.
    pub(super) seen: BTreeMap<String, u32>,
}

impl Monitor {
    /// I2: a proxy that applies a split finds an endpoint for every version in it, or a stand-in.
    pub(super) fn applied(&self, seed: u64, live: &Live) {
        let Some(overlay) = &live.overlay else { return };
        assert!(overlay.is_whole(), "seed {seed}: I1: {overlay:?}");
        let has = |version: &str| {
            let count = live.endpoints.get(version);
            count.is_some_and(|count| *count > 0) || self.crashed.contains(version)
        };
        for share in overlay.shares.iter().filter(|share| share.parts > 0) {
            let fallback = overlay.fallback.as_deref().is_some_and(has);
            assert!(
                has(&share.version) || fallback,
                "seed {seed}: I2: {} routes to {} without endpoints: {overlay:?}",
                live.name,
                share.version
            );
        }
    }
}

impl World {
    /// Judges a write of a status before it happens.
    pub(super) fn check_status(&mut self, release: &Release, after: &ReleaseStatus) {
        let seed = self.seed;
        let none = ReleaseStatus::default();
        let before = release.status.as_ref().unwrap_or(&none);
        *self
            .monitor
            .seen
            .entry(format!("{:?}", after.phase))
            .or_default() += 1;
        let moved = before.phase != after.phase
            || before.overlay != after.overlay
            || before.progress.step.as_ref().map(|it| it.number)
                != after.progress.step.as_ref().map(|it| it.number)
            || before.progress.drain != after.progress.drain
            || before.progress.pinned_at != after.progress.pinned_at;
        let sequence = |status: &ReleaseStatus| status.journal.last().map_or(0, |it| it.sequence);
        assert_eq!(
            sequence(after),
            sequence(before) + u64::from(moved || sequence(after) > sequence(before)),
            "seed {seed}: I6: {:?} to {:?} without its entry",
            before.phase,
            after.phase
        );
        let Some(overlay) = &after.overlay else {
            return;
        };
        assert!(overlay.is_whole(), "seed {seed}: I1: {overlay:?}");
        if let Some(old) = &before.overlay {
            assert!(
                overlay.revision >= old.revision,
                "seed {seed}: a revision went back"
            );
            assert!(
                overlay.revision > old.revision || overlay.same_split(old),
                "seed {seed}: a split changed under its revision"
            );
            check_membership(seed, old, overlay);
        }
        self.check_raise(release, before, after);
    }

    /// I4: the new version gets more only when the step before is live, judged and approved, or a
    /// person asked for it; and nothing is raised before all proxies have what was written before.
    fn check_raise(&self, release: &Release, before: &ReleaseStatus, after: &ReleaseStatus) {
        let (Some(old), Some(overlay), Some(new)) = (&before.overlay, &after.overlay, &after.new)
        else {
            return;
        };
        if overlay.parts_of(&new.version) <= old.parts_of(&new.version) {
            return;
        }
        let seed = self.seed;
        let uid = release.metadata.uid.as_deref();
        for live in &self.mesh.proxies {
            let has = live.overlay.as_ref().map_or(0, |it| it.revision);
            assert!(
                Some(live.owner.as_str()) == uid && has >= old.revision,
                "seed {seed}: I4: raised while {} has revision {has} of {}",
                live.name,
                old.revision
            );
        }
        let reason = after
            .journal
            .last()
            .map_or("", |entry| entry.reason.as_str());
        let control = &release.spec.control;
        match reason {
            "StepEntered" => self.check_step(release, before, after),
            "Jumped" => assert_eq!(control.jump_to, step(after), "seed {seed}: I4"),
            "TakenOver" => assert!(
                control.take_over.is_some() || release.is_leaving(),
                "seed {seed}: I4: nobody asked for a takeover"
            ),
            "Restored" => assert!(control.take_over.is_none(), "seed {seed}: I4"),
            other => panic!("seed {seed}: I4: raised for {other}"),
        }
    }

    fn check_step(&self, release: &Release, before: &ReleaseStatus, after: &ReleaseStatus) {
        let seed = self.seed;
        let left = step(before).unwrap_or(0);
        assert_eq!(
            step(after),
            Some(left + 1),
            "seed {seed}: I4: a step was skipped"
        );
        let stages = release.spec.strategy.stages();
        let Some(stage) = left
            .checked_sub(1)
            .and_then(|index| stages.get(index as usize))
        else {
            return;
        };
        let control = &release.spec.control;
        let approved = control.approved_step >= Some(left) && control.is_for(before.attempt);
        assert!(
            !stage.approval || approved,
            "seed {seed}: I4: step {left} was not approved"
        );
        let step = before.progress.step.as_ref().expect("a step");
        let since = step.acked_at.as_ref().expect("an acknowledgement").0;
        let measured = stage.parts > 0 || !stage.matches.is_empty() || stage.mirror.is_some();
        if measured {
            let window = SignedDuration::from_secs(5);
            assert!(
                self.now.duration_since(since) >= window,
                "seed {seed}: I4: too early"
            );
            let health = self.health;
            assert!(
                health.metrics && health.traffic && !health.new_fails,
                "seed {seed}: I4: step {left} was left with {health:?}"
            );
        }
    }

    /// At most one release is at work.
    pub(super) fn check_alone(&self) {
        let all = self.store.releases.values();
        let active = all.filter(|release| {
            let phase = release
                .status
                .as_ref()
                .map_or(Phase::Draft, |status| status.phase);
            phase != Phase::Draft && !phase.is_terminal()
        });
        let names: Vec<&str> = active.map(|it| it.name()).collect();
        assert!(
            names.len() <= 1,
            "seed {}: active together: {names:?}",
            self.seed
        );
    }

    /// Judges a change of a Deployment's size, and that it is nothing else (I7).
    pub(super) fn check_scaling(&self, by: &str, before: &Deployment, after: &Deployment) {
        let mut same = before.clone();
        same.spec.as_mut().expect("a spec").replicas =
            after.spec.as_ref().and_then(|it| it.replicas);
        assert_eq!(
            same, *after,
            "seed {}: I7: more than the size changed",
            self.seed
        );
        if wanted(after) < wanted(before) {
            self.check_end(by, before);
        } else {
            self.check_growth(by, after);
        }
    }

    /// The first pod of a new version comes only after stable was given everything (I6: and after
    /// that was written).
    pub(super) fn check_growth(&self, by: &str, deployment: &Deployment) {
        let seed = self.seed;
        let status = self.status(by);
        let version = label(deployment);
        if status
            .stable
            .as_ref()
            .is_some_and(|it| it.version == version)
        {
            assert!(
                status.progress.stable_retired,
                "seed {seed}: I6: stable grew"
            );
            return;
        }
        assert!(
            status.phase == Phase::Preparing && status.progress.pinned_at.is_some(),
            "seed {seed}: I6: pods of {version} in {:?}",
            status.phase
        );
        for live in &self.mesh.proxies {
            let pinned = live.overlay.as_ref().is_some_and(|it| !it.reaches(version));
            assert!(pinned, "seed {seed}: {} is not pinned to stable", live.name);
        }
    }

    /// I3: no proxy leads to a version whose pods end, and nothing is open, or the deadline passed.
    fn check_end(&self, by: &str, deployment: &Deployment) {
        let seed = self.seed;
        let version = label(deployment);
        let status = self.status(by);
        let drain = status.progress.drain.as_ref().expect("I6: a drain");
        assert!(
            drain.done_at.is_some(),
            "seed {seed}: I6: {version} ends without a record"
        );
        let done = drain.done_at.as_ref().map(|it| it.0);
        let late = drain.deadline.as_ref().is_some_and(|it| Some(it.0) <= done);
        for live in &self.mesh.proxies {
            let reaches = live.overlay.as_ref().is_none_or(|it| it.reaches(version));
            assert!(
                !reaches,
                "seed {seed}: I3: {} leads to {version}",
                live.name
            );
            let open = live.streams.get(version).copied().unwrap_or(0);
            assert!(
                open == 0 || late,
                "seed {seed}: I3: {open} streams to {version}"
            );
        }
    }

    pub(super) fn check_deletion(&self, by: &str, deployment: &Deployment) {
        let seed = self.seed;
        assert_eq!(self.status(by).phase, Phase::Offline, "seed {seed}: I6");
        let named = self.store.references.get(label(deployment));
        assert!(
            named.is_none_or(Vec::is_empty),
            "seed {seed}: a named version is deleted"
        );
        self.check_end(by, deployment);
    }

    /// A release that leaves had ended; only the winner has pods, so that the plain Service is safe.
    pub(super) fn check_leaving(&self, release: &Release) {
        let phase = release
            .status
            .as_ref()
            .map_or(Phase::Draft, |status| status.phase);
        assert!(
            phase == Phase::Draft || phase.is_terminal(),
            "seed {}: left in {phase:?}",
            self.seed
        );
    }

    fn status(&self, by: &str) -> &ReleaseStatus {
        let release = self.store.releases.get(by).expect("the release");
        release.status.as_ref().expect("a status")
    }
}

fn step(status: &ReleaseStatus) -> Option<u32> {
    status.progress.step.as_ref().map(|step| step.number)
}

/// I8: who was in with a smaller share is in with a greater one.
fn check_membership(seed: u64, old: &Overlay, new: &Overlay) {
    let Some(first) = new.shares.first() else {
        return;
    };
    let version = first.version.as_str();
    if old.parts_of(version) > new.parts_of(version) || old.parts_of(version) == 0 {
        return;
    }
    assert_eq!(old.salt, new.salt, "seed {seed}: I8: users were dealt anew");
    for bucket in (0..WHOLE).step_by(15_625) {
        let inside = |overlay: &Overlay| overlay.version_of(bucket) == Some(version);
        assert!(
            !inside(old) || inside(new),
            "seed {seed}: I8: bucket {bucket} left {version}"
        );
    }
}
