//! Keys and stored objects.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

/// Identity of an object: resource (`<group>/<plural>`), namespace (empty for cluster scope) and
/// name. Orders by these three in turn.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of an object.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self(format!("{resource}\0{namespace}\0{name}").into())
    }

    /// A key from its stored text.
    pub fn raw(text: &str) -> Self {
        Self(text.into())
    }

    /// The stored text: the three parts with NUL between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<group>/<plural>`.
    pub fn resource(&self) -> &str {
        self.part(0)
    }

    /// Namespace, empty for cluster scope.
    pub fn namespace(&self) -> &str {
        self.part(1)
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.part(2)
    }

    /// The half-open range of keys of a resource, or of one namespace of it.
    pub(super) fn bounds(resource: &str, namespace: Option<&str>) -> (Self, Self) {
        match namespace {
            Some(namespace) => (
                Self(format!("{resource}\0{namespace}\0").into()),
                Self(format!("{resource}\0{namespace}\u{1}").into()),
            ),
            None => (
                Self(format!("{resource}\0").into()),
                Self(format!("{resource}\u{1}").into()),
            ),
        }
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('\0').nth(index).unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace('\0', " "))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A stored object. Never changes; a write makes a new one.
#[derive(Debug)]
pub struct Object {
    /// Identity.
    pub key: Key,
    /// The object as stored, with `metadata.resourceVersion`.
    pub value: Arc<Value>,
    /// Revision of its creation.
    pub created: u64,
    /// Revision of its last change.
    pub modified: u64,
    /// `value` as JSON text, encoded once.
    pub json: Bytes,
}

impl Object {
    pub(super) fn new(key: Key, mut value: Value, created: u64, modified: u64) -> Self {
        stamp(&mut value, modified);
        let json = Bytes::from(value.to_string());
        Self {
            key,
            value: Arc::new(value),
            created,
            modified,
            json,
        }
    }

    pub(super) fn stored(key: Key, json: &[u8], created: u64, modified: u64) -> Option<Self> {
        let value = serde_json::from_slice(json).ok()?;
        Some(Self {
            key,
            value: Arc::new(value),
            created,
            modified,
            json: Bytes::copy_from_slice(json),
        })
    }
}

/// Sets `metadata.resourceVersion`.
fn stamp(value: &mut Value, revision: u64) {
    if let Some(object) = value.as_object_mut() {
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert(
                "resourceVersion".to_owned(),
                Value::String(revision.to_string()),
            );
        }
    }
}
