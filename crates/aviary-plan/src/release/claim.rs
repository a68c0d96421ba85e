//! One active release per Service: the claim is a Lease, so that two that start at the same moment
//! meet at one object, whatever either has seen of the other.

use aviary_api::release::{Claim, GROUP, Release, VERSION};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Run;
use crate::kind::LEASE;
use crate::object::{self, to_value};
use crate::plan::Action;

/// Name of the Lease that is the claim on a Service, in the Service's namespace.
pub fn lease_name(service: &str) -> String {
    format!("aviary-release-{service}")
}

/// The release whose overlay holds for a Service, among all that name it.
///
/// It is the one that owns the claim; until that has written its first overlay, the one before it.
/// When the owner is gone so is the claim, and no overlay holds: the plain Service is back.
pub fn guardian<'a>(lease: &Lease, releases: &[&'a Release]) -> Option<&'a Release> {
    let owner = lease.metadata.owner_references.as_ref()?.first()?;
    let owned = |release: &&&Release| object::uid(&release.metadata) == owner.uid;
    releases.iter().find(owned)?;
    let claim = |release: &Release| {
        let status = release.status.as_ref()?;
        let claim = status.seen.claim.as_ref()?;
        let holds = status.overlay.is_some() && claim.uid == object::uid(&lease.metadata);
        holds.then_some(claim.transitions)
    };
    let all = releases.iter().copied();
    all.filter(|release| claim(release).is_some())
        .max_by_key(|release| claim(release))
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn claim_of(lease: &Lease) -> Claim {
    let spec = lease.spec.as_ref();
    Claim {
        uid: object::uid(&lease.metadata).to_owned(),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
    }
}

impl Run<'_> {
    /// Whether another release has the Service; says which.
    pub(super) fn is_guarded_by_another(&mut self) -> bool {
        let held = self.view.lease.as_deref().map(holder).unwrap_or_default();
        let other = !held.is_empty() && held != self.identity();
        if other {
            self.refuse_for(held);
        }
        other
    }

    /// Whether the Service is claimed for a beginning; does what is missing for it if not.
    pub(super) fn claim(&mut self) -> bool {
        let Some(lease) = self.view.lease.as_deref() else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(lease_name(&self.spec.service)),
                    namespace: self.release.metadata.namespace.clone(),
                    owner_references: Some(vec![self.owner()]),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(0)),
            };
            self.plan.actions.push(Action::Create {
                kind: LEASE,
                object: to_value(&lease),
                event: None,
            });
            self.plan.wait("the claim on the Service");
            return false;
        };
        if self.is_guarded_by_another() {
            return false;
        }
        if holder(lease).is_empty() {
            self.take(lease);
            return false;
        }
        self.status.seen.claim = Some(claim_of(lease));
        true
    }

    /// Whether the claim of a release that had ended is back; does what is missing for it if not.
    ///
    /// Only a write proves that nobody else took it since, so there is one even if the claim seems
    /// to be held still.
    pub(super) fn reclaim(&mut self) -> bool {
        let Some(lease) = self.view.lease.as_deref() else {
            return self.claim();
        };
        let (found, last) = (claim_of(lease), self.status.seen.claim.clone());
        let held = holder(lease);
        if held == self.identity() && Some(&found) != last.as_ref() {
            self.status.seen.claim = Some(found);
            return true;
        }
        if self.is_guarded_by_another() {
            return false;
        }
        if Some(&found) == last.as_ref() {
            self.take(lease);
        } else {
            self.plan
                .wait("a new release: a later one has changed the Service since");
        }
        false
    }

    /// Gives the claim up once the release has ended, so that another may begin.
    pub(super) fn settle_claim(&mut self) {
        let Some(lease) = self.view.lease.as_deref() else {
            return;
        };
        if holder(lease) != self.identity() {
            return;
        }
        let found = claim_of(lease);
        if self.status.seen.claim.as_ref() != Some(&found) {
            // Known before it is given up: see `reclaim`.
            self.status.seen.claim = Some(found);
            return;
        }
        if !self.wants_more() {
            self.give_up_claim();
        }
    }

    /// Whether the claim is held, as far as is known.
    pub(super) fn holds_claim(&self) -> bool {
        let lease = self.view.lease.as_deref();
        lease.is_some_and(|lease| holder(lease) == self.identity())
    }

    /// Writes that nobody holds the claim.
    pub(super) fn give_up_claim(&mut self) {
        let Some(lease) = self.view.lease.as_deref() else {
            return;
        };
        let mut free = lease.clone();
        if let Some(spec) = &mut free.spec {
            spec.holder_identity = None;
        }
        self.write_lease(&free);
    }

    fn take(&mut self, lease: &Lease) {
        let mut taken = lease.clone();
        taken.metadata.owner_references = Some(vec![self.owner()]);
        taken.spec = Some(self.held(claim_of(lease).transitions));
        self.write_lease(&taken);
        self.plan.wait("the claim on the Service");
    }

    fn write_lease(&mut self, lease: &Lease) {
        self.plan.actions.push(Action::Update {
            kind: LEASE,
            object: to_value(lease),
        });
    }

    fn held(&self, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity()),
            acquire_time: Some(self.stamp()),
            lease_transitions: Some(transitions + 1),
            ..LeaseSpec::default()
        }
    }

    fn refuse_for(&mut self, held: &str) {
        let name = held.split_once('_').map_or(held, |(name, _)| name);
        let service = &self.spec.service;
        let message = format!("release `{name}` to end, which guards the Service `{service}`");
        self.plan.wait(message.clone());
        self.refused = Some(("ServiceGuarded", format!("waits for {message}")));
    }

    /// Name and uid: a release that was deleted and made again is another one.
    fn identity(&self) -> String {
        let meta = &self.release.metadata;
        format!("{}_{}", object::name(meta), object::uid(meta))
    }

    /// The claim goes with the release, if nobody takes it over.
    fn owner(&self) -> OwnerReference {
        let meta = &self.release.metadata;
        OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: "Release".to_owned(),
            name: object::name(meta).to_owned(),
            uid: object::uid(meta).to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}
