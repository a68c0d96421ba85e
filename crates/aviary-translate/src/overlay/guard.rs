//! Which overlay is in force for which Service.

use std::{collections::BTreeSet, sync::Arc};

use aviary_api::{
    names,
    release::{GROUP, Overlay, Release, VERSION},
};
use imbl::OrdMap;

use crate::{ObjectKey, Snapshot};

/// A `Release` that says how traffic of a Service is shared. What else it says is not looked at,
/// so a change of that is none to the mesh.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guard {
    /// The `Release`.
    pub(crate) key: ObjectKey,
    /// When it was created, in nanoseconds.
    pub(crate) created: Option<i128>,
    /// Full name of the Service.
    pub(crate) host: String,
    /// How traffic is shared.
    pub(crate) overlay: Overlay,
}

/// Guards in force by host.
pub(crate) type Guards = OrdMap<String, Arc<Guard>>;

impl Guard {
    /// Reads a `Release`; `None` while it says nothing about traffic.
    pub(crate) fn new(release: &Release) -> Option<Self> {
        let created = release.metadata.creation_timestamp.as_ref();
        let overlay = release.status.as_ref()?.overlay.clone()?;
        Some(Self {
            key: ObjectKey::new(release.namespace(), release.name()),
            created: created.map(|time| time.0.as_nanosecond()),
            host: names::service_host(&release.spec.service, release.namespace()),
            overlay,
        })
    }

    /// The version that has most; of equals the last, since the one under trial is first.
    pub(crate) fn steady(&self) -> &str {
        let shares = self.overlay.shares.iter();
        shares
            .max_by_key(|share| share.parts)
            .map_or("", |share| &share.version)
    }

    /// Versions that get something by weight, in order.
    pub(crate) fn live_shares(&self) -> Vec<(&str, u32)> {
        let shares = self.overlay.shares.iter();
        let live = shares.filter(|share| share.parts > 0);
        live.map(|share| (share.version.as_str(), share.parts))
            .collect()
    }

    /// All versions that the overlay names.
    pub(crate) fn versions(&self) -> BTreeSet<&str> {
        let overlay = &self.overlay;
        let shares = overlay.shares.iter().map(|it| it.version.as_str());
        let matched = overlay.matched.iter().map(|it| it.version.as_str());
        let mirror = overlay.mirror.iter().map(|it| it.version.as_str());
        let others = matched.chain(mirror).chain(overlay.fallback.as_deref());
        shares.chain(others).collect()
    }

    /// As [`aviary_mesh::Route::origin`].
    pub(crate) fn origin(&self) -> String {
        let ObjectKey { namespace, name } = &self.key;
        format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/releases/{name}")
    }
}

impl Snapshot {
    /// The overlay in force for a Service, and whose it is.
    pub fn overlay(&self, service: &ObjectKey) -> Option<(&ObjectKey, &Overlay)> {
        let host = names::service_host(&service.name, &service.namespace);
        self.guard(&host).map(|guard| (&guard.key, &guard.overlay))
    }

    /// The guard in force for a host.
    pub(crate) fn guard(&self, host: &str) -> Option<&Guard> {
        self.guards.get(host).map(Arc::as_ref)
    }

    /// All Releases that say something about a Service, older ones first.
    pub(crate) fn guards_of(&self, host: &str) -> Vec<&Guard> {
        let all = self.releases.values().filter(|guard| guard.host == host);
        let mut all: Vec<&Guard> = all.map(Arc::as_ref).collect();
        all.sort_by_key(|guard| (guard.created, &guard.key));
        all
    }

    /// Of each Service the oldest Release counts. One whose shares are not everything is left out:
    /// what it would mean is not known, and the user's own routes still work.
    pub(crate) fn settle_guards(&mut self) {
        let mut guards = Guards::new();
        for service in self.services.values() {
            if let Some(guard) = self.guards_of(&service.host).first()
                && guard.overlay.is_whole()
                && let Some(guard) = self.releases.get(&guard.key)
            {
                guards.insert(service.host.clone(), Arc::clone(guard));
            }
        }
        self.guards = guards;
    }
}
