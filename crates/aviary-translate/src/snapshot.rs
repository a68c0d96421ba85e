//! An indexed view of all objects that the mesh is made from.
//!
//! Cloning costs next to nothing: maps and objects are shared. Objects are kept in digested form,
//! so that a change that does not matter to the mesh is seen to be none.

use std::sync::Arc;

use aviary_api::{
    DestinationRule, Gateway, Release, VirtualService, destination_rule::DestinationRuleSpec,
    gateway::GatewaySpec, virtual_service::VirtualServiceSpec,
};
use aviary_mesh::endpoint::Health;
use imbl::OrdMap;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ObjectKey,
    live::{LastGood, Live, Retained},
    overlay::{Guard, Guards},
    service::{Service, Slice},
    workload::{self, Workload},
};

/// The kinds of objects that a [`Snapshot`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` `EndpointSlice`.
    EndpointSlice,
    /// `v1` Pod.
    Pod,
    /// `networking.istio.io` `VirtualService`.
    VirtualService,
    /// `networking.istio.io` `DestinationRule`.
    DestinationRule,
    /// `networking.istio.io` Gateway.
    Gateway,
    /// `aviary.dev` Release.
    Release,
}

impl Kind {
    /// All kinds that are always served. `Release` is not, as long as nothing carries one out
    /// ([`aviary_api::crd`]).
    pub const ALL: [Self; 6] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
        Self::VirtualService,
        Self::DestinationRule,
        Self::Gateway,
    ];

    /// Whether a change of such an object can change endpoints only.
    pub fn is_endpoint(self) -> bool {
        self == Self::EndpointSlice
    }
}

/// One of Istio's objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<S> {
    /// Its key.
    pub key: ObjectKey,
    /// When it was created, in nanoseconds; older objects win.
    pub created: Option<i128>,
    /// The generation of `spec`.
    pub generation: i64,
    /// What the user wants.
    pub spec: Arc<S>,
}

impl<S> Entry<S> {
    fn new(object: aviary_api::Object<S>) -> Self {
        Self {
            key: ObjectKey::new(object.namespace(), object.name()),
            created: object.age_order().0,
            generation: object.metadata.generation.unwrap_or_default(),
            spec: Arc::new(object.spec),
        }
    }

    /// Older first, then by key.
    pub(crate) fn age(&self) -> (Option<i128>, &ObjectKey) {
        (self.created, &self.key)
    }
}

type Objects<T> = OrdMap<ObjectKey, Arc<T>>;

/// All objects of one moment. Equal to another when the mesh made from it is the same.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) services: Objects<Service>,
    /// By Service, then by the slice's name.
    pub(crate) slices: OrdMap<ObjectKey, OrdMap<String, Arc<Slice>>>,
    pub(crate) pods: Objects<Workload>,
    pub(crate) virtual_services: Objects<Entry<VirtualServiceSpec>>,
    pub(crate) destination_rules: Objects<Entry<DestinationRuleSpec>>,
    pub(crate) gateways: Objects<Entry<GatewaySpec>>,
    /// Those that say something about traffic.
    pub(crate) releases: Objects<Guard>,
    pub(crate) last_good: Objects<LastGood>,
    pub(crate) live: Objects<Live>,
    pub(crate) retained: Arc<Retained>,
    pub(crate) guards: Guards,
}

/// An object that is not of its kind's form.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?} cannot be read: {message}")]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Snapshot {
    /// Puts an object in, in place of its former version; tells whether that changes anything.
    ///
    /// After one or several changes call [`Snapshot::settle`].
    ///
    /// # Errors
    /// When the object is not of the form of its kind; the former version stays.
    pub fn insert(&mut self, kind: Kind, object: &Value) -> Result<bool, Error> {
        match kind {
            Kind::Service => {
                let object: core::Service = read(kind, object)?;
                let key = meta_key(&object.metadata);
                Ok(put(&mut self.services, key, Service::new(&object)))
            }
            Kind::EndpointSlice => {
                let object: discovery::EndpointSlice = read(kind, object)?;
                Ok(self.insert_slice(&object))
            }
            Kind::Pod => {
                let pod: core::Pod = read(kind, object)?;
                Ok(put(
                    &mut self.pods,
                    workload::key(&pod),
                    Some(Workload::new(&pod)),
                ))
            }
            Kind::VirtualService => {
                let entry = Entry::new(read::<VirtualService>(kind, object)?);
                self.recall(&entry.key, object);
                Ok(put(
                    &mut self.virtual_services,
                    entry.key.clone(),
                    Some(entry),
                ))
            }
            Kind::DestinationRule => {
                let entry = Entry::new(read::<DestinationRule>(kind, object)?);
                Ok(put(
                    &mut self.destination_rules,
                    entry.key.clone(),
                    Some(entry),
                ))
            }
            Kind::Gateway => {
                let entry = Entry::new(read::<Gateway>(kind, object)?);
                Ok(put(&mut self.gateways, entry.key.clone(), Some(entry)))
            }
            Kind::Release => {
                let object: Release = read(kind, object)?;
                let key = meta_key(&object.metadata);
                Ok(put(&mut self.releases, key, Guard::new(&object)))
            }
        }
    }

    /// Takes an object out; tells whether it was there.
    ///
    /// After one or several changes call [`Snapshot::settle`].
    pub fn remove(&mut self, kind: Kind, key: &ObjectKey) -> bool {
        match kind {
            Kind::Service => self.services.remove(key).is_some(),
            Kind::EndpointSlice => self.remove_slice(key),
            Kind::Pod => self.pods.remove(key).is_some(),
            Kind::VirtualService => {
                self.last_good.remove(key);
                self.virtual_services.remove(key).is_some()
            }
            Kind::DestinationRule => self.destination_rules.remove(key).is_some(),
            Kind::Gateway => self.gateways.remove(key).is_some(),
            Kind::Release => self.releases.remove(key).is_some(),
        }
    }

    /// Keys of the objects of a kind that has a status (all but slices).
    pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        match kind {
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => {
                let by_service = self.slices.iter();
                let names = by_service.flat_map(|(service, slices)| {
                    slices
                        .keys()
                        .map(|name| ObjectKey::new(&*service.namespace, &**name))
                });
                names.collect()
            }
            Kind::Pod => self.pods.keys().cloned().collect(),
            Kind::VirtualService => self.virtual_services.keys().cloned().collect(),
            Kind::DestinationRule => self.destination_rules.keys().cloned().collect(),
            Kind::Gateway => self.gateways.keys().cloned().collect(),
            Kind::Release => self.releases.keys().cloned().collect(),
        }
    }

    /// Whether a Service gives new requests to this Pod.
    pub fn is_offered(&self, pod: &ObjectKey) -> bool {
        let own = |slice: &Arc<Slice>| {
            let mut endpoints = slice.endpoints.iter();
            endpoints.any(|it| it.health == Health::Healthy && it.pod.as_ref() == Some(pod))
        };
        let here = self
            .slices
            .iter()
            .filter(|(service, _)| service.namespace == pod.namespace);
        here.flat_map(|(_, slices)| slices.values()).any(own)
    }

    /// The generation of one of Istio's objects; `None` when it is not there.
    pub fn generation(&self, kind: Kind, key: &ObjectKey) -> Option<i64> {
        match kind {
            Kind::VirtualService => self.virtual_services.get(key).map(|entry| entry.generation),
            Kind::DestinationRule => self
                .destination_rules
                .get(key)
                .map(|entry| entry.generation),
            Kind::Gateway => self.gateways.get(key).map(|entry| entry.generation),
            Kind::Service | Kind::EndpointSlice | Kind::Pod | Kind::Release => None,
        }
    }

    /// The form of a `VirtualService` that is in force instead of its present one, when its
    /// present one lacks destinations. A control plane keeps it in the object's status
    /// (`status.lastGood`) so that a restart does not lose it.
    pub fn held_back(&self, key: &ObjectKey) -> Option<&LastGood> {
        let live = self.live.get(key)?;
        if live.missing.is_empty() {
            return None;
        }
        self.last_good.get(key).map(Arc::as_ref)
    }

    /// Takes the last good form from the object's status when none is known.
    fn recall(&mut self, key: &ObjectKey, object: &Value) {
        if self.virtual_services.contains_key(key) || self.last_good.contains_key(key) {
            return;
        }
        let stored = object.pointer("/status/lastGood");
        if let Some(last_good) = stored.and_then(|stored| LastGood::deserialize(stored).ok()) {
            self.last_good.insert(key.clone(), Arc::new(last_good));
        }
    }

    fn insert_slice(&mut self, object: &discovery::EndpointSlice) -> bool {
        let key = meta_key(&object.metadata);
        let Some(slice) = Slice::new(object) else {
            return self.remove_slice(&key);
        };
        let known = self
            .slices
            .get(&slice.service)
            .and_then(|slices| slices.get(&key.name));
        match known {
            Some(known) if **known == slice => return false,
            Some(_) => {}
            None => {
                self.remove_slice(&key);
            }
        }
        let service = slice.service.clone();
        self.slices
            .entry(service)
            .or_default()
            .insert(key.name, Arc::new(slice));
        true
    }

    fn remove_slice(&mut self, key: &ObjectKey) -> bool {
        let holder = self.slices.iter().find(|(service, slices)| {
            service.namespace == key.namespace && slices.contains_key(&key.name)
        });
        let Some(service) = holder.map(|(service, _)| service.clone()) else {
            return false;
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(&key.name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        true
    }

    /// Services by full name.
    pub(crate) fn service_of_host(&self, host: &str) -> Option<&Arc<Service>> {
        let (name, namespace) = aviary_api::names::split_service_host(host)?;
        self.services.get(&ObjectKey::new(namespace, name))
    }
}

fn meta_key(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> ObjectKey {
    ObjectKey::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

fn read<'a, T: Deserialize<'a>>(kind: Kind, object: &'a Value) -> Result<T, Error> {
    T::deserialize(object).map_err(|error| Error {
        kind,
        message: error.to_string(),
    })
}

fn put<T: PartialEq>(objects: &mut Objects<T>, key: ObjectKey, value: Option<T>) -> bool {
    let Some(value) = value else {
        return objects.remove(&key).is_some();
    };
    if objects.get(&key).is_some_and(|known| **known == value) {
        return false;
    }
    objects.insert(key, Arc::new(value));
    true
}
