//! From nothing to the first step: claim the Service, pin its traffic, bring the new version up.

use aviary_api::release::{FINALIZER, Phase, Progress, Role, Seen, VersionStatus};
use serde_json::json;

use super::journal::Cause;
use super::workload::{derived_name, wanted};
use super::{ACK_DEADLINE, READY_DEADLINE, Run, time};
use crate::kind::RELEASE;
use crate::object;
use crate::plan::Action;

impl Run<'_> {
    /// Begins, once everything that is needed is there.
    pub(super) fn start(&mut self) {
        if self.release.is_leaving() {
            self.leave();
            return;
        }
        if !self.has_finalizer() {
            self.add_finalizer();
            return;
        }
        if self.spec.control.aborted {
            self.plan.wait("`control.aborted` to be removed");
            return;
        }
        if self.spec.control.paused {
            self.plan.wait("the release to be resumed");
            return;
        }
        if self.view.service.is_none() {
            self.plan
                .wait(format!("the Service `{}`", self.spec.service));
            return;
        }
        if self.is_guarded_by_another() {
            return;
        }
        let Some((stable, new)) = self.find_versions() else {
            return;
        };
        if !self.claim() {
            return;
        }
        self.status.stable = Some(stable);
        self.status.new = Some(new);
        // Traffic may be pinned only to endpoints that every proxy knows.
        if self.is_ready(Role::Stable, 1) {
            self.pin();
        } else {
            self.status.stable = None;
            self.status.new = None;
        }
    }

    fn pin(&mut self) {
        self.status.attempt += 1;
        self.status.seen = Seen {
            restart: self.spec.control.restart,
            jump_to: self
                .spec
                .control
                .jump_to
                .filter(|_| !self.is_for_this_attempt()),
            plan: self.plan_hash(),
            new: self.new_hash(),
            claim: self.status.seen.claim.take(),
        };
        self.status.progress = Progress::default();
        self.give_all(Role::Stable, false);
        // What proxies say of a version that was here before must be said anew.
        self.renew();
        let message = format!(
            "all traffic stays with {} until {} is ready",
            self.label(Role::Stable),
            self.label(Role::New)
        );
        self.enter(Phase::Preparing, "Preparing", message, Cause::Asked);
    }

    /// Stable and new version; says what is missing if they cannot be named.
    fn find_versions(&mut self) -> Option<(VersionStatus, VersionStatus)> {
        let label = &self.spec.new.version;
        let all = self.versions();
        let candidates: Vec<_> = all
            .iter()
            .filter(|(deployment, version)| match &self.spec.stable {
                Some(stable) => version == stable,
                None => *version != label && wanted(deployment) > 0,
            })
            .collect();
        let status = |deployment: &str, version: &str, replicas: u32| VersionStatus {
            version: version.to_owned(),
            deployment: deployment.to_owned(),
            replicas,
            ready: 0,
        };
        let found = match candidates.as_slice() {
            [(deployment, version)] => {
                let name = object::name(&deployment.metadata);
                Ok(status(name, version, wanted(deployment)))
            }
            [] => Err(match &self.spec.stable {
                Some(stable) => format!("a Deployment of version {stable} behind the Service"),
                None => "a Deployment with pods behind the Service, to be stable".to_owned(),
            }),
            several => {
                let names: Vec<&str> = several.iter().map(|(_, version)| *version).collect();
                let names = names.join(", ");
                Err(format!("`spec.stable` to name one of {names}"))
            }
        };
        let stable = found.and_then(|stable| self.keeps_its_traffic(stable));
        let new = stable.and_then(|stable| {
            let existing: Vec<_> = all.iter().filter(|(_, it)| it == label).collect();
            let (name, present) = match existing.as_slice() {
                [(deployment, _)] if self.image_differs(deployment) => {
                    return Err(format!(
                        "another `spec.new.version`: {label} exists with another image"
                    ));
                }
                [(deployment, _)] => {
                    let name = object::name(&deployment.metadata).to_owned();
                    (name, wanted(deployment))
                }
                [] if self.spec.new.is_derived() => {
                    let name = derived_name(&stable.deployment, &stable.version, label);
                    (name, 0)
                }
                [] => {
                    return Err(format!(
                        "a Deployment of version {label} behind the Service"
                    ));
                }
                _ => return Err(format!("only one Deployment of version {label}")),
            };
            let wish = self.spec.new.replicas.unwrap_or(present);
            let replicas = if wish == 0 {
                stable.replicas.max(1)
            } else {
                wish
            };
            let new = status(&name, label, replicas);
            Ok((stable, new))
        });
        new.map_err(|missing| self.plan.wait(missing)).ok()
    }

    /// A version that has no traffic now must not become stable: it would get everything at once.
    fn keeps_its_traffic(&self, stable: VersionStatus) -> Result<VersionStatus, String> {
        let present = self.overlay();
        let others = present.is_some_and(|overlay| overlay.parts_of(&stable.version) == 0);
        if others {
            return Err(format!(
                "`spec.stable` to be the version that has the traffic, not {}",
                stable.version
            ));
        }
        Ok(stable)
    }

    /// Waits for the pin to be live, then for the new version to be ready everywhere.
    pub(super) fn prepare(&mut self) {
        let live = self.is_live();
        let since = self.status.progress.since.clone();
        let Some(pinned_at) = self.status.progress.pinned_at.clone() else {
            if live {
                self.status.progress.pinned_at = Some(self.stamp());
                self.enter(
                    Phase::Preparing,
                    "TrafficPinned",
                    "every proxy gives stable everything; the new version may start",
                    Cause::Rule,
                );
            } else {
                // Only named: waiting goes on, nothing is given up for a proxy that is slow.
                self.has_passed(since.as_ref(), self.ack_deadline());
            }
            return;
        };
        if self.spec.control.paused && !self.release.is_leaving() {
            self.plan.wait("the release to be resumed");
            return;
        }
        if live && self.is_brought_up() && self.is_ready(Role::New, self.full_size(Role::New)) {
            if self.wanted_side() == Some(Role::Stable) {
                self.plan
                    .wait("`control.takeOver` to be removed: stable has everything");
            } else {
                self.enter_step(1, "StepEntered", Cause::Rule);
            }
            return;
        }
        let limit = self.spec.limits.ready_deadline.as_deref();
        if self.has_passed(Some(&pinned_at), time(limit, READY_DEADLINE)) {
            let message = "the new version was not ready in time";
            self.abort("NotReady", message, Cause::Rule);
        }
    }

    /// Whether pods of the new version were asked for after traffic was pinned.
    pub(super) fn is_brought_up(&self) -> bool {
        let pinned = self.status.progress.pinned_at.is_some();
        pinned && self.deployment(Role::New).is_some_and(|it| wanted(it) > 0)
    }

    pub(super) fn ack_deadline(&self) -> std::time::Duration {
        time(self.spec.limits.ack_deadline.as_deref(), ACK_DEADLINE)
    }

    fn has_finalizer(&self) -> bool {
        let all = self.release.metadata.finalizers.iter().flatten();
        all.into_iter().any(|name| name == FINALIZER)
    }

    fn add_finalizer(&mut self) {
        let mut all = self.release.metadata.finalizers.clone().unwrap_or_default();
        all.push(FINALIZER.to_owned());
        self.patch_finalizers(&all);
    }

    /// Lets a release go that has nothing left to do.
    pub(super) fn leave(&mut self) {
        if self.holds_claim() {
            self.give_up_claim();
        } else if self.has_finalizer() {
            let mut all = self.release.metadata.finalizers.clone().unwrap_or_default();
            all.retain(|name| name != FINALIZER);
            self.patch_finalizers(&all);
        }
    }

    fn patch_finalizers(&mut self, all: &[String]) {
        let meta = &self.release.metadata;
        self.plan.actions.push(Action::Patch {
            target: object::target(&RELEASE, meta),
            patch: json!({"metadata": {
                "resourceVersion": meta.resource_version,
                "finalizers": all,
            }}),
        });
    }
}
