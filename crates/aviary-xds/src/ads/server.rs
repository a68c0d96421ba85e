//! The control plane's side, for delta and state-of-the-world clients.

mod track;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;

use crate::{Kind, Snapshot};
use track::{Batch, Track};

/// Named resources that a client should have asked for are waited for this long before what
/// depends on them is sent all the same.
const WARMING_PATIENCE: Duration = Duration::from_secs(5);

/// A refusal by the client, of the last thing that was sent of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// [`Snapshot::version`] that was being sent.
    pub version: u64,
    /// The client's reason.
    pub message: String,
    /// What was sent.
    pub resources: Vec<String>,
}

/// A message to the client, in the protocol that it speaks.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// Incremental.
    Delta(envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse),
    /// State of the world.
    Sotw(envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Delta,
    Sotw,
}

/// One stream: what the client holds, and what it gets next.
///
/// After every request and every new snapshot, poll until nothing comes out. Changes go out as
/// clusters, endpoints, listeners, routes, secrets; what is removed goes last, when everything that
/// replaces it is acknowledged (make before break). A type has one unacknowledged message at
/// most; meanwhile newer snapshots replace each other.
#[derive(Debug, Default)]
pub struct ServerSession {
    protocol: Option<Protocol>,
    node: Option<Node>,
    snapshot: Option<Arc<Snapshot>>,
    tracks: [Track; 5],
    nonces: u64,
    acked: Option<u64>,
    /// Since when routes wait for endpoints that the client did not ask for.
    waiting_since: Option<Duration>,
}

impl ServerSession {
    /// A session at the start of its stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client, once it has said who it is.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Replaces what the client is to have.
    pub fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        for kind in Kind::ALL {
            self.track_mut(kind).forget_refusals(kind, &snapshot);
        }
        self.snapshot = Some(snapshot);
        self.settle();
    }

    /// The newest snapshot that the client holds completely; `None` before the first.
    pub fn acked(&self) -> Option<u64> {
        self.acked
    }

    /// What the client refused and nothing newer replaced, by type.
    pub fn nacks(&self) -> impl Iterator<Item = (Kind, &Nack)> {
        let nack = |kind: Kind| self.track(kind).nack.as_ref().map(|nack| (kind, nack));
        Kind::ALL.into_iter().filter_map(nack)
    }

    /// When polling again may give something although nothing happened.
    pub fn wake_at(&self) -> Option<Duration> {
        self.waiting_since.map(|since| since + WARMING_PATIENCE)
    }

    /// The next message, at `now` (since any epoch that stays the same).
    pub fn poll_response(&mut self, now: Duration) -> Option<Push> {
        let snapshot = Arc::clone(self.snapshot.as_ref()?);
        for kind in Kind::ALL {
            if !self.may_send(kind, &snapshot, now) {
                continue;
            }
            if let Some(batch) = self.track(kind).additions(kind, &snapshot) {
                return self.send(kind, batch, &snapshot);
            }
        }
        if !self.at_rest(&snapshot) || self.tracks.iter().any(Track::has_rejected) {
            return None;
        }
        // Listeners before the clusters that they lead to.
        let kind = [Kind::Listener, Kind::Cluster]
            .into_iter()
            .find(|kind| self.track(*kind).has_removals(&snapshot, *kind))?;
        let batch = self.track(kind).removals(kind, &snapshot);
        self.send(kind, batch, &snapshot)
    }

    /// Whether a type's turn has come: clusters and endpoints at once, listeners when those are
    /// there, routes when the listeners are.
    fn may_send(&mut self, kind: Kind, snapshot: &Snapshot, now: Duration) -> bool {
        if !self.track(kind).requested || self.track(kind).in_flight.is_some() {
            return false;
        }
        match kind {
            // Nothing can go wrong by a secret that comes early.
            Kind::Cluster | Kind::Endpoints | Kind::Secrets => true,
            Kind::Listener => self.destinations_are_there(snapshot, now),
            Kind::Routes => {
                let listeners = self.track(Kind::Listener);
                let settled =
                    !listeners.requested || listeners.is_settled(Kind::Listener, snapshot);
                settled && self.destinations_are_there(snapshot, now)
            }
        }
    }

    fn destinations_are_there(&mut self, snapshot: &Snapshot, now: Duration) -> bool {
        let clusters = self.track(Kind::Cluster);
        let endpoints = self.track(Kind::Endpoints);
        if clusters.requested
            && (!clusters.is_settled(Kind::Cluster, snapshot) || clusters.lacks_rejected())
        {
            return false;
        }
        if !endpoints.is_settled(Kind::Endpoints, snapshot) {
            return false;
        }
        let complete =
            !clusters.requested || endpoints.holds_all(snapshot.referenced(Kind::Endpoints));
        if complete {
            self.waiting_since = None;
            return true;
        }
        let since = *self.waiting_since.get_or_insert(now);
        now.saturating_sub(since) >= WARMING_PATIENCE
    }

    fn at_rest(&self, snapshot: &Snapshot) -> bool {
        Kind::ALL.into_iter().all(|kind| {
            let track = self.track(kind);
            if kind.is_wildcard() {
                return track.requested && track.is_settled(kind, snapshot);
            }
            track.is_settled(kind, snapshot) && track.holds_all(snapshot.referenced(kind))
        })
    }

    /// Notes the snapshot as acknowledged when nothing is left to send or to wait for.
    fn settle(&mut self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let removals = Kind::ALL
            .into_iter()
            .any(|kind| self.track(kind).has_removals(snapshot, kind));
        let refused = self.tracks.iter().any(Track::has_rejected);
        if self.at_rest(snapshot) && !removals && !refused {
            self.acked = Some(snapshot.version());
        }
    }

    fn send(&mut self, kind: Kind, batch: Batch, snapshot: &Snapshot) -> Option<Push> {
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let push = match self.protocol? {
            Protocol::Delta => Push::Delta(wire::delta(kind, &batch, &nonce, snapshot.version())),
            Protocol::Sotw => Push::Sotw(wire::sotw(kind, &batch, &nonce, self.track(kind))),
        };
        self.track_mut(kind).sent(batch, nonce, snapshot.version());
        Some(push)
    }

    fn track(&self, kind: Kind) -> &Track {
        &self.tracks[kind.index()]
    }

    fn track_mut(&mut self, kind: Kind) -> &mut Track {
        &mut self.tracks[kind.index()]
    }
}

#[cfg(test)]
mod tests;
