//! Who owns whom: the metadata of all objects, indexed by uid of the owner.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;

use crate::kind::Kind;
use crate::plan::Target;

/// Metadata of one object, as far as ownership and deletion need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace; empty for kinds without namespaces.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version; 0 if the server's are not numbers.
    pub version: u64,
    /// Whether deletion was asked for.
    pub deleting: bool,
    /// Finalizers.
    pub finalizers: Vec<String>,
    /// Owners.
    pub owners: Vec<OwnerReference>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Name of an object together with its kind, as an index key.
pub type Dependent = (Kind, String, String);

impl Entry {
    /// The metadata of `object`; `None` if it has no name.
    pub fn of(kind: &Kind, object: &Value) -> Option<Self> {
        let meta = ObjectMeta::deserialize(object.get("metadata")?).ok()?;
        Some(Self {
            kind: kind.clone(),
            namespace: meta
                .namespace
                .filter(|_| kind.namespaced)
                .unwrap_or_default(),
            name: meta.name?,
            uid: meta.uid.unwrap_or_default(),
            version: meta
                .resource_version
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
            owners: meta.owner_references.unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
        })
    }

    /// The object as a target of actions.
    pub fn target(&self) -> Target {
        Target {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }

    /// Whether the object has this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|found| found == finalizer)
    }

    /// Uid of the controller among the owners.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owners
            .iter()
            .find(|owner| owner.controller == Some(true))
    }
}

/// Metadata of all objects.
#[derive(Debug, Default)]
pub struct Graph {
    entries: BTreeMap<Kind, BTreeMap<(String, String), Arc<Entry>>>,
    by_uid: HashMap<String, Dependent>,
    by_owner: HashMap<String, BTreeSet<Dependent>>,
    kinds: BTreeSet<Kind>,
}

impl Graph {
    /// Says that all objects of `kind` are known from now on, so an absent one does not exist.
    pub fn watch(&mut self, kind: &Kind) {
        self.kinds.insert(kind.clone());
    }

    /// Says that objects of `kind` are no longer known.
    pub fn unwatch(&mut self, kind: &Kind) {
        self.kinds.remove(kind);
    }

    /// The watched kind with this group and name.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds.iter().find(|found| found.same_kind(group, kind))
    }

    /// An object by name.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.entries
            .get(kind)?
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// An object by uid.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Entry>> {
        let (kind, namespace, name) = self.by_uid.get(uid)?;
        self.get(kind, namespace, name)
    }

    /// All objects that name `uid` among their owners, in order of kind and name.
    pub fn dependents(&self, uid: &str) -> Vec<Arc<Entry>> {
        let keys = self.by_owner.get(uid).into_iter().flatten();
        keys.filter_map(|(kind, namespace, name)| self.get(kind, namespace, name))
            .collect()
    }

    /// All objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: &Kind) -> Vec<Arc<Entry>> {
        self.entries
            .get(kind)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// All objects in a namespace, in order of kind and name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Entry>> {
        let from = (namespace.to_owned(), String::new());
        self.entries
            .values()
            .flat_map(|objects| {
                objects
                    .range(from.clone()..)
                    .take_while(|(key, _)| key.0 == namespace)
            })
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    pub(super) fn put(&mut self, entry: Arc<Entry>) {
        let key = (entry.namespace.clone(), entry.name.clone());
        let old = self
            .entries
            .get(&entry.kind)
            .and_then(|objects| objects.get(&key))
            .cloned();
        if let Some(old) = old {
            self.remove(&old);
        }
        let id = (
            entry.kind.clone(),
            entry.namespace.clone(),
            entry.name.clone(),
        );
        for owner in &entry.owners {
            self.by_owner
                .entry(owner.uid.clone())
                .or_default()
                .insert(id.clone());
        }
        self.by_uid.insert(entry.uid.clone(), id);
        self.entries
            .entry(entry.kind.clone())
            .or_default()
            .insert(key, entry);
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        let id = (
            entry.kind.clone(),
            entry.namespace.clone(),
            entry.name.clone(),
        );
        for owner in &entry.owners {
            if let Some(dependents) = self.by_owner.get_mut(&owner.uid) {
                dependents.remove(&id);
                if dependents.is_empty() {
                    self.by_owner.remove(&owner.uid);
                }
            }
        }
        self.by_uid.remove(&entry.uid);
        if let Some(objects) = self.entries.get_mut(&entry.kind) {
            objects.remove(&(entry.namespace.clone(), entry.name.clone()));
        }
    }
}
