//! All kinds that one server serves at one moment. Immutable: a change gives a new registry.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde_json::Value;

use crate::{crd, kind::Kind};

mod builtin;

/// Group, version and plural name.
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// The kinds of a server, by group, version and plural name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    kinds: BTreeMap<Key, Arc<Kind>>,
}

impl Registry {
    /// The built-in kinds.
    pub fn builtin() -> Self {
        static KINDS: LazyLock<Registry> = LazyLock::new(|| builtin::kinds().into_iter().collect());
        KINDS.clone()
    }

    /// This registry with more kinds; a kind with the same group, version and plural is replaced.
    #[must_use]
    pub fn with_kinds(&self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let mut next = self.clone();
        next.extend(kinds);
        next
    }

    /// This registry with every served version of these `CustomResourceDefinition` objects.
    ///
    /// # Errors
    /// A definition that is not structural, named as [`crd::Error`] tells.
    pub fn with_crds(&self, definitions: &[Value]) -> Result<Self, crd::Error> {
        let mut next = self.clone();
        for definition in definitions {
            next.extend(crd::kinds(definition)?);
        }
        Ok(next)
    }

    /// This registry without any version of a resource.
    #[must_use]
    pub fn without(&self, group: &str, plural: &str) -> Self {
        let mut next = self.clone();
        next.kinds
            .retain(|(g, _, p), _| &**g != group || &**p != plural);
        next
    }

    /// The kind at a path.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds
            .get(&(group.into(), version.into(), plural.into()))
    }

    /// The kind of an object.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.iter()
            .find(|k| &*k.group == group && &*k.version == version && &*k.kind == kind)
    }

    /// The kind of an object by its `apiVersion` and `kind`.
    pub fn by_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.by_kind(group, version, kind)
    }

    /// All kinds, ordered by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }

    /// Group versions in discovery order: core first, then by group name; the newest stable
    /// version of a group first.
    pub fn group_versions(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let mut all: Vec<_> = self
            .kinds
            .keys()
            .map(|(g, v, _)| (g.clone(), v.clone()))
            .collect();
        all.dedup();
        all.sort_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| version_rank(&b.1).cmp(&version_rank(&a.1)))
        });
        all
    }
}

impl Extend<Kind> for Registry {
    fn extend<I: IntoIterator<Item = Kind>>(&mut self, kinds: I) {
        for kind in kinds {
            let key = (
                kind.group.clone(),
                kind.version.clone(),
                kind.plural.clone(),
            );
            self.kinds.insert(key, Arc::new(kind));
        }
    }
}

impl FromIterator<Kind> for Registry {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut registry = Self::default();
        registry.extend(kinds);
        registry
    }
}

/// Order of versions: `v2` > `v1` > `v1beta2` > `v1beta1` > `v1alpha1` > anything else.
///
/// Source: Kubernetes "Version priority" of custom resource versioning.
fn version_rank(version: &str) -> (u8, u32, u32) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (major, stage) = rest.split_at(digits);
        let major: u32 = major.parse().ok()?;
        if stage.is_empty() {
            return Some((3, major, 0));
        }
        for (rank, word) in [(2, "beta"), (1, "alpha")] {
            if let Some(minor) = stage.strip_prefix(word) {
                return Some((rank, major, minor.parse().ok()?));
            }
        }
        None
    };
    parse().unwrap_or((0, 0, 0))
}
