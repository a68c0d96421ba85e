//! The objects, as an API server would keep them, and the log of their changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::kind::{self, Kind};
use crate::object::api_time;
use crate::plan::{Action, Propagation, Target};

/// Why a write was refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    Conflict,
    Missing,
}

/// One change, as a watch reports it.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) gone: bool,
    pub(crate) object: Value,
}

pub(crate) struct Server {
    pub(super) objects: BTreeMap<(Kind, String), Value>,
    pub(crate) log: BTreeMap<Kind, Vec<Happened>>,
    pub(crate) version: u64,
    uids: u64,
    /// When each pod becomes ready or ends, by name.
    pub(super) due: BTreeMap<String, Timestamp>,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            log: BTreeMap::new(),
            version: 0,
            uids: 0,
            due: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, kind: &Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.clone(), name.to_owned()))
    }

    pub(crate) fn all(&self, kind: &Kind) -> impl Iterator<Item = &Value> {
        let kind = kind.clone();
        self.objects
            .iter()
            .filter(move |((found, _), _)| *found == kind)
            .map(|(_, object)| object)
    }

    /// Puts a new object in, with the metadata that servers give.
    pub(crate) fn insert(&mut self, kind: &Kind, mut object: Value, now: Timestamp) -> Value {
        self.uids += 1;
        let meta = &mut object["metadata"];
        meta["uid"] = json!(format!("uid-{}", self.uids));
        meta["creationTimestamp"] = json!(api_time(now));
        meta["generation"] = json!(1);
        if kind.namespaced {
            let place = if *kind == kind::LEASE {
                "kube-node-lease"
            } else {
                "default"
            };
            meta["namespace"] = json!(place);
        }
        self.store(kind, object)
    }

    fn store(&mut self, kind: &Kind, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        self.objects.insert((kind.clone(), name), object.clone());
        self.note(kind, false, object.clone());
        object
    }

    fn note(&mut self, kind: &Kind, gone: bool, object: Value) {
        self.log
            .entry(kind.clone())
            .or_default()
            .push(Happened { gone, object });
    }

    /// How many changes of a kind there were.
    pub(super) fn changes(&self, kind: &Kind) -> usize {
        self.log.get(kind).map_or(0, Vec::len)
    }

    /// Changes an object in place; a change of the spec counts as a generation.
    pub(crate) fn change(
        &mut self,
        kind: &Kind,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let old = self.get(kind, name).expect("the object").clone();
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            return old;
        }
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        let meta = &new["metadata"];
        let finalized = meta["finalizers"].as_array().is_none_or(Vec::is_empty);
        if !meta["deletionTimestamp"].is_null() && finalized && *kind != kind::POD {
            self.erase(kind, name);
            return new;
        }
        self.store(kind, new)
    }

    pub(crate) fn user_apply(&mut self, kind: &Kind, object: &Value, now: Timestamp) {
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        if self.get(kind, &name).is_none() {
            self.insert(kind, object.clone(), now);
        } else {
            self.change(kind, &name, |old| merge(old, object));
        }
    }

    pub(crate) fn erase(&mut self, kind: &Kind, name: &str) {
        if let Some(mut object) = self.objects.remove(&(kind.clone(), name.to_owned())) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.note(kind, true, object);
        }
    }

    /// Carries an action out; the object as it is afterwards, or `None` if it is gone.
    pub(crate) fn perform(
        &mut self,
        action: &Action,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Option<Value>, Refusal> {
        match action {
            Action::Create { kind, object, .. } => {
                let mut object = object.clone();
                if let Some(prefix) = object["metadata"]["generateName"].as_str() {
                    let suffix: u32 = rng.random_range(0..100_000);
                    object["metadata"]["name"] = json!(format!("{prefix}{suffix:05}"));
                }
                let name = object["metadata"]["name"].as_str().expect("a name");
                if self.get(kind, name).is_some() {
                    return Err(Refusal::Conflict);
                }
                Ok(Some(self.insert(kind, object, now)))
            }
            Action::Update { kind, object } => self.replace(kind, object, |old, new| {
                let status = old["status"].clone();
                *old = new.clone();
                old["status"] = status;
            }),
            Action::UpdateStatus { kind, object } => self.replace(kind, object, |old, new| {
                old["status"] = new["status"].clone();
                old["metadata"]["annotations"] = new["metadata"]["annotations"].clone();
            }),
            Action::Patch { target, patch } => {
                self.check(target)?;
                let version = &patch["metadata"]["resourceVersion"];
                let found = self
                    .get(&target.kind, &target.name)
                    .ok_or(Refusal::Missing)?;
                if !version.is_null() && found["metadata"]["resourceVersion"] != *version {
                    return Err(Refusal::Conflict);
                }
                let changed = self.change(&target.kind, &target.name, |old| merge(old, patch));
                Ok(Some(changed))
            }
            Action::Delete {
                target,
                propagation,
                unless_any,
                ..
            } => {
                if unless_any.iter().any(|owner| self.check(owner).is_ok()) {
                    return Ok(self.get(&target.kind, &target.name).cloned());
                }
                self.check(target)?;
                Ok(self.delete(&target.kind, &target.name, *propagation, now))
            }
            Action::Bind { pod, node } => {
                self.check(pod)?;
                let bound = self.change(&kind::POD, &pod.name, |pod| {
                    pod["spec"]["nodeName"] = json!(node);
                });
                Ok(Some(bound))
            }
            Action::Finalize { .. } | Action::Event(_) => Ok(None),
        }
    }

    fn check(&self, target: &Target) -> Result<(), Refusal> {
        let found = self
            .get(&target.kind, &target.name)
            .ok_or(Refusal::Missing)?;
        let same = found["metadata"]["uid"].as_str() == Some(&target.uid);
        if same { Ok(()) } else { Err(Refusal::Missing) }
    }

    fn replace(
        &mut self,
        kind: &Kind,
        new: &Value,
        put: impl FnOnce(&mut Value, &Value),
    ) -> Result<Option<Value>, Refusal> {
        let name = new["metadata"]["name"].as_str().expect("a name");
        let old = self.get(kind, name).ok_or(Refusal::Missing)?;
        if old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict);
        }
        Ok(Some(self.change(kind, name, |old| put(old, new))))
    }

    /// Deletes as servers do: pods on a node get time, finalizers hold.
    pub(crate) fn delete(
        &mut self,
        kind: &Kind,
        name: &str,
        propagation: Option<Propagation>,
        now: Timestamp,
    ) -> Option<Value> {
        let object = self.get(kind, name)?;
        let running = *kind == kind::POD && object["spec"]["nodeName"].is_string();
        let finalizer = match propagation {
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            Some(Propagation::Orphan) => Some("orphan"),
            _ => None,
        };
        if !running && finalizer.is_none() {
            self.erase(kind, name);
            return None;
        }
        let left = self.change(kind, name, |object| {
            let meta = &mut object["metadata"];
            if meta["deletionTimestamp"].is_null() {
                meta["deletionTimestamp"] = json!(api_time(now));
            }
            if let Some(finalizer) = finalizer {
                meta["finalizers"] = json!([finalizer]);
            }
        });
        if running {
            self.due.remove(name);
        }
        Some(left)
    }
}

/// JSON merge patch.
pub(crate) fn merge(old: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *old = patch.clone();
        return;
    };
    if !old.is_object() {
        *old = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            old.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut old[key], value);
        }
    }
}
