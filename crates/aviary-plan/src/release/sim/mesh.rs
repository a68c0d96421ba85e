//! The mesh: a control plane that publishes late, and proxies that hear of it later still.

use std::collections::BTreeMap;

use aviary_api::release::{Overlay, WHOLE};
use rand::Rng;
use rand::rngs::StdRng;

use super::store::Store;
use super::{Counts, World};
use crate::release::{Proxy, Streams, guardian};

/// A proxy as it really is.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) name: String,
    pub(super) overlay: Option<Overlay>,
    /// Uid of the release that the overlay is from.
    pub(super) owner: String,
    pub(super) endpoints: Counts,
    pub(super) streams: BTreeMap<String, u64>,
    /// Steps for which it neither hears nor speaks.
    deaf: u32,
    /// What the control plane last heard from it.
    said: Proxy,
    said_of: String,
}

pub(super) struct Mesh {
    pub(super) overlay: Option<Overlay>,
    pub(super) owner: String,
    endpoints: Counts,
    pub(super) proxies: Vec<Live>,
    made: usize,
}

impl Mesh {
    pub(super) fn new(count: usize, store: &Store) -> Self {
        let mut mesh = Self {
            overlay: None,
            owner: String::new(),
            endpoints: store.endpoints(),
            proxies: Vec::new(),
            made: 0,
        };
        for _ in 0..count {
            mesh.add();
        }
        mesh
    }

    /// A proxy that starts has what is published at that moment.
    fn add(&mut self) {
        self.made += 1;
        self.proxies.push(Live {
            name: format!("p{}", self.made),
            overlay: self.overlay.clone(),
            owner: self.owner.clone(),
            endpoints: self.endpoints.clone(),
            streams: BTreeMap::new(),
            deaf: 0,
            said: Proxy::default(),
            said_of: String::new(),
        });
    }

    /// A proxy is not heard of until it is woken.
    pub(super) fn silence(&mut self, index: usize) {
        self.proxies[index].deaf = u32::MAX;
    }

    pub(super) fn publish(&mut self, store: &Store) {
        self.endpoints = store.endpoints();
        let lease = store.lease.as_deref();
        let all: Vec<_> = store.releases.values().map(|it| &**it).collect();
        let guardian = lease.and_then(|lease| guardian(lease, &all));
        self.overlay = guardian.and_then(|it| it.status.as_ref()?.overlay.clone());
        let uid = guardian.and_then(|it| it.metadata.uid.clone());
        self.owner = uid.unwrap_or_default();
    }

    /// What a controller is told of the proxies for one release.
    pub(super) fn facts(&self, uid: &str) -> Vec<Proxy> {
        let all = self.proxies.iter();
        all.map(|live| {
            let named = Proxy {
                name: live.name.clone(),
                endpoints: live.said.endpoints.clone(),
                ..Proxy::default()
            };
            if live.said_of == uid {
                Proxy {
                    name: live.name.clone(),
                    ..live.said.clone()
                }
            } else {
                named
            }
        })
        .collect()
    }
}

impl Live {
    /// The version that serves a request: where it goes, and who stands in.
    fn serve(&self, bucket: u32) -> Option<String> {
        let overlay = self.overlay.as_ref()?;
        let version = overlay.version_of(bucket)?;
        let has = |version: &str| self.endpoints.get(version).is_some_and(|count| *count > 0);
        if has(version) {
            return Some(version.to_owned());
        }
        overlay.fallback.clone().filter(|version| has(version))
    }

    fn speak(&mut self) {
        self.said_of.clone_from(&self.owner);
        let revision = self.overlay.as_ref().map(|overlay| overlay.revision);
        self.said = Proxy {
            name: self.name.clone(),
            acked: revision,
            endpoints: self.endpoints.clone(),
            streams: revision.map(|revision| Streams {
                revision,
                open: self.streams.clone(),
            }),
        };
    }

    fn traffic(&mut self, store: &Store, rng: &mut StdRng) {
        if rng.random_bool(0.5)
            && let Some(version) = self.serve(rng.random_range(0..WHOLE))
        {
            *self.streams.entry(version).or_default() += 1;
        }
        let pods = store.endpoints();
        self.streams.retain(|version, open| {
            if rng.random_bool(0.5) {
                *open = open.saturating_sub(1);
            }
            *open > 0 && pods.contains_key(version)
        });
    }
}

impl World {
    pub(super) fn move_proxies(&mut self) {
        if self.rng.random_bool(0.6) {
            self.mesh.publish(&self.store);
        }
        if self.chance(self.faults.churn) {
            let last = self.mesh.proxies.len() == 1;
            if last || self.rng.random_bool(0.5) {
                self.mesh.add();
            } else {
                let index = self.rng.random_range(0..self.mesh.proxies.len());
                self.mesh.proxies.remove(index);
            }
        }
        for index in 0..self.mesh.proxies.len() {
            if self.chance(self.faults.deaf) {
                self.mesh.proxies[index].deaf = self.rng.random_range(1..25);
            }
            let (applies, speaks) = (self.rng.random_bool(0.6), self.rng.random_bool(0.6));
            let live = &mut self.mesh.proxies[index];
            live.traffic(&self.store, &mut self.rng);
            if live.deaf > 0 {
                live.deaf -= 1;
                continue;
            }
            if applies {
                live.endpoints.clone_from(&self.mesh.endpoints);
                if live.overlay != self.mesh.overlay || live.owner != self.mesh.owner {
                    live.overlay.clone_from(&self.mesh.overlay);
                    live.owner.clone_from(&self.mesh.owner);
                    self.monitor.applied(self.seed, live);
                }
            }
            if speaks {
                live.speak();
            }
        }
    }

    /// No proxy is deaf any more.
    pub(super) fn wake_proxies(&mut self) {
        for live in &mut self.mesh.proxies {
            live.deaf = 0;
        }
    }
}
