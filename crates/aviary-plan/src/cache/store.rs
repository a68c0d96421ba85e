//! Objects of one kind, typed, by namespace and name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Objects of one kind in order of namespace and name.
#[derive(Debug)]
pub struct Store<K> {
    objects: BTreeMap<String, BTreeMap<String, Arc<K>>>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
        }
    }
}

impl<K> Store<K> {
    /// An object by name; `namespace` is empty for kinds without namespaces.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.objects.get(namespace)?.get(name).cloned()
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        self.objects
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.values().flat_map(BTreeMap::values)
    }

    pub(super) fn take(&mut self, namespace: &str, name: &str) {
        if let Some(objects) = self.objects.get_mut(namespace) {
            objects.remove(name);
            if objects.is_empty() {
                self.objects.remove(namespace);
            }
        }
    }
}

impl<K: DeserializeOwned> Store<K> {
    /// False if the object does not have the form of its kind, and so is left out.
    pub(super) fn put(&mut self, namespace: &str, name: &str, object: &Value) -> bool {
        let Ok(object) = K::deserialize(object) else {
            return false;
        };
        let objects = self.objects.entry(namespace.to_owned()).or_default();
        objects.insert(name.to_owned(), Arc::new(object));
        true
    }
}
