//! All objects as the watches saw them last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aviary_api::inject::WITHDRAWN;
use aviary_translate::{Kind, ObjectKey, Snapshot};
use serde_json::Value;

use super::watch::{self, Event};

/// What a change can make different, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing.
    Nothing,
    /// Only what is told to users: an object's generation or status.
    Told,
    /// Only endpoints.
    Endpoints,
    /// Anything.
    All,
}

/// Istio's objects, for writing their status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    /// By kind and key.
    pub(crate) known: Arc<BTreeMap<(Kind, ObjectKey), Known>>,
    /// The snapshot in which they are.
    pub(crate) snapshot: Snapshot,
    /// Pods that are about to stop.
    pub(crate) leaving: Arc<BTreeMap<ObjectKey, Leaving>>,
}

/// A pod that is being deleted, until it is said of it that nobody is sent to it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// Tells apart pods of the same name over time.
    pub(crate) uid: String,
    /// The first published version that does not offer it; 0 until then.
    pub(crate) version: u64,
}

/// One of Istio's objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// Tells apart objects of the same name over time.
    pub(crate) uid: String,
    /// Generation seen last.
    pub(crate) generation: i64,
    /// The first published version that has this generation; 0 until then.
    pub(crate) version: u64,
    /// Status seen last.
    pub(crate) status: Value,
}

/// The objects.
#[derive(Debug, Default)]
pub(super) struct World {
    snapshot: Snapshot,
    listed: BTreeSet<Kind>,
    known: BTreeMap<(Kind, ObjectKey), Known>,
    leaving: BTreeMap<ObjectKey, Leaving>,
}

impl World {
    /// Takes what a watch saw; tells what that can make different.
    pub(super) fn apply(&mut self, event: Event) -> Change {
        match event {
            Event::Apply(kind, object) => self.insert(kind, &object),
            Event::Delete(kind, key) => self.remove(kind, &key),
            Event::Replace(kind, objects) => {
                let present: BTreeSet<ObjectKey> = objects.iter().map(watch::key).collect();
                let mut change = Change::Nothing;
                for key in self.snapshot.keys(kind) {
                    if !present.contains(&key) {
                        change = change.max(self.remove(kind, &key));
                    }
                }
                for object in &objects {
                    change = change.max(self.insert(kind, object));
                }
                self.listed.insert(kind);
                change
            }
        }
    }

    /// Whether all kinds have been listed.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// The present objects, with the decision which forms are in force.
    pub(super) fn settled(&mut self) -> Snapshot {
        self.snapshot.settle();
        self.snapshot.clone()
    }

    /// Notes the version in which the present objects are published.
    pub(super) fn published(&mut self, version: u64) {
        for known in self.known.values_mut().filter(|known| known.version == 0) {
            known.version = version;
        }
        for (pod, leaving) in &mut self.leaving {
            if leaving.version == 0 && !self.snapshot.is_offered(pod) {
                leaving.version = version;
            }
        }
    }

    /// For the writer of statuses.
    pub(super) fn objects(&self) -> Objects {
        Objects {
            known: Arc::new(self.known.clone()),
            snapshot: self.snapshot.clone(),
            leaving: Arc::new(self.leaving.clone()),
        }
    }

    fn insert(&mut self, kind: Kind, object: &Value) -> Change {
        let changed = match self.snapshot.insert(kind, object) {
            Ok(changed) => changed,
            Err(error) => {
                let object = watch::key(object).to_string();
                tracing::warn!(?kind, object, %error, "the object is left as it was");
                return Change::Nothing;
            }
        };
        let told = self.note(kind, object, changed) | self.note_leaving(kind, object);
        match (changed, kind) {
            (false, _) if told => Change::Told,
            (false, _) => Change::Nothing,
            (true, kind) if kind.is_endpoint() => Change::Endpoints,
            (true, _) => Change::All,
        }
    }

    /// Notes what is told about one of Istio's objects; tells whether that changed.
    fn note(&mut self, kind: Kind, object: &Value, changed: bool) -> bool {
        if !matches!(
            kind,
            Kind::VirtualService | Kind::DestinationRule | Kind::Gateway
        ) {
            return false;
        }
        let meta = &object["metadata"];
        let uid = meta["uid"].as_str().unwrap_or_default().to_owned();
        let generation = meta["generation"].as_i64().unwrap_or_default();
        let status = object["status"].clone();
        let id = (kind, watch::key(object));
        let old = self.known.get(&id).filter(|old| !changed && old.uid == uid);
        let version = old.map_or(0, |old| old.version);
        let known = Known {
            uid,
            generation,
            version,
            status,
        };
        self.known.insert(id, known.clone()) != Some(known)
    }

    /// Notes a pod that is being deleted, or that this has been said of it; tells whether that is new.
    fn note_leaving(&mut self, kind: Kind, object: &Value) -> bool {
        let meta = &object["metadata"];
        if kind != Kind::Pod || meta["deletionTimestamp"].is_null() {
            return false;
        }
        let key = watch::key(object);
        let mut conditions = object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        if conditions.any(|it| it["type"] == WITHDRAWN && it["status"] == "True") {
            return self.leaving.remove(&key).is_some();
        }
        let uid = meta["uid"].as_str().unwrap_or_default();
        if self.leaving.get(&key).is_some_and(|known| known.uid == uid) {
            return false;
        }
        let uid = uid.to_owned();
        self.leaving.insert(key, Leaving { uid, version: 0 });
        true
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey) -> Change {
        if kind == Kind::Pod {
            self.leaving.remove(key);
        }
        self.known.remove(&(kind, key.clone()));
        match self.snapshot.remove(kind, key) {
            false => Change::Nothing,
            true if kind.is_endpoint() => Change::Endpoints,
            true => Change::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway(uid: &str, generation: i64, port: u16) -> Value {
        json!({
            "metadata": {"name": "gw", "namespace": "a", "uid": uid, "generation": generation},
            "spec": {"selector": {"a": "b"}, "servers": [{"port": {"number": port, "protocol": "HTTP"}, "hosts": ["*"]}]},
        })
    }

    #[test]
    fn world_is_complete_when_every_kind_was_listed() {
        let mut world = World::default();
        for kind in Kind::ALL {
            assert!(!world.is_complete());
            world.apply(Event::Replace(kind, Vec::new()));
        }
        assert!(world.is_complete());
    }

    #[test]
    fn status_write_of_our_own_is_told_but_not_published() {
        let mut world = World::default();
        let mut object = gateway("1", 1, 80);
        assert_eq!(
            world.apply(Event::Apply(Kind::Gateway, object.clone())),
            Change::All
        );
        world.published(7);
        object["status"] = json!({"observedGeneration": 1});
        assert_eq!(
            world.apply(Event::Apply(Kind::Gateway, object.clone())),
            Change::Told
        );
        assert_eq!(
            world.apply(Event::Apply(Kind::Gateway, object)),
            Change::Nothing
        );
        let versions: Vec<u64> = world.known.values().map(|known| known.version).collect();
        assert_eq!(versions, [7]);
    }

    #[test]
    fn changed_object_waits_for_its_version_again() {
        let mut world = World::default();
        world.apply(Event::Apply(Kind::Gateway, gateway("1", 1, 80)));
        world.published(7);
        assert_eq!(
            world.apply(Event::Apply(Kind::Gateway, gateway("1", 2, 81))),
            Change::All
        );
        assert_eq!(
            world.known.values().next().map(|known| known.version),
            Some(0)
        );
    }

    /// A pod, and a slice that offers it or no longer does.
    fn pod_and_slice(deleted: bool, terminating: bool) -> [Event; 2] {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "a", "uid": "1"}, "spec": {"containers": []}});
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let slice = json!({
            "metadata": {"name": "s-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [{
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": !terminating, "serving": true, "terminating": terminating},
                "targetRef": {"kind": "Pod", "name": "p", "namespace": "a"},
            }],
        });
        [
            Event::Apply(Kind::Pod, pod),
            Event::Apply(Kind::EndpointSlice, slice),
        ]
    }

    #[test]
    fn leaving_pod_has_the_version_that_does_not_offer_it() {
        let mut world = World::default();
        let versions = |world: &World| -> Vec<u64> {
            let leaving = world.leaving.values();
            leaving.map(|leaving| leaving.version).collect()
        };
        for event in pod_and_slice(false, false) {
            world.apply(event);
        }
        world.published(1);
        assert_eq!(versions(&world), Vec::<u64>::new());
        let [deleted, withdrawn] = pod_and_slice(true, true);
        assert_eq!(world.apply(deleted), Change::Told);
        world.published(2);
        assert_eq!(versions(&world), [0]);
        assert_eq!(world.apply(withdrawn), Change::Endpoints);
        world.published(3);
        world.published(4);
        assert_eq!(versions(&world), [3]);
        let [mut said, _] = pod_and_slice(true, true);
        if let Event::Apply(_, pod) = &mut said {
            pod["status"]["conditions"] = json!([{"type": WITHDRAWN, "status": "True"}]);
        }
        assert_eq!(world.apply(said), Change::Told);
        assert_eq!(versions(&world), Vec::<u64>::new());
    }

    #[test]
    fn list_takes_out_what_is_gone() {
        let mut world = World::default();
        world.apply(Event::Apply(Kind::Gateway, gateway("1", 1, 80)));
        assert_eq!(
            world.apply(Event::Replace(Kind::Gateway, Vec::new())),
            Change::All
        );
        assert!(world.known.is_empty());
        assert_eq!(
            world.apply(Event::Replace(Kind::Gateway, Vec::new())),
            Change::Nothing
        );
    }
}
