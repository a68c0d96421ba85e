//! What every request handler needs: the store, the kinds, the configuration.

use std::{path::PathBuf, sync::Arc};

use aviary_kinds::{Kind, Registry, Status, crd};
use parking_lot::RwLock;
use serde_json::Value;

use crate::{
    Config,
    admission::Get,
    pki::{Pki, Tokens},
    store::{self, Key, Object, Snapshot, Store},
};

/// Resource of the definitions of custom kinds.
pub(crate) const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// The server's state, shared by all requests.
pub(crate) struct Api {
    pub(crate) store: Store,
    registry: RwLock<Served>,
    /// The kinds that need no definition.
    builtin: Registry,
    pub(crate) config: Config,
    pub(crate) tokens: Tokens,
    pub(crate) ca_pem: String,
    /// Held while an address or port is chosen and stored, so that no two Services get the same.
    pub(crate) allocation: tokio::sync::Mutex<()>,
    /// Held while definitions change, so that registry and store agree.
    pub(crate) definitions: tokio::sync::Mutex<()>,
}

/// The kinds served now, with what is derived from them once.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) registry: Arc<Registry>,
    pub(crate) documents: Arc<crate::http::Documents>,
}

impl Api {
    pub(crate) fn new(store: Store, config: Config, pki: &Pki) -> Self {
        let builtin = Registry::builtin();
        let api = Self {
            store,
            registry: RwLock::new(Served::new(builtin.clone())),
            builtin,
            config,
            tokens: pki.tokens.clone(),
            ca_pem: pki.ca_pem.clone(),
            allocation: tokio::sync::Mutex::new(()),
            definitions: tokio::sync::Mutex::new(()),
        };
        api.refresh_registry();
        api
    }

    /// The kinds served now.
    pub(crate) fn served(&self) -> Served {
        self.registry.read().clone()
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().registry)
    }

    pub(crate) fn node_socket(&self) -> PathBuf {
        self.config.node_socket.clone()
    }

    /// Builds the registry again from the stored definitions.
    pub(crate) fn refresh_registry(&self) {
        let mut registry = self.builtin.clone();
        for object in self.store.snapshot().list(DEFINITIONS, None, None) {
            match crd::kinds(&object.value) {
                Ok(kinds) => registry = registry.with_kinds(kinds),
                // It was judged when it was stored: the rest must not suffer from it.
                Err(error) => tracing::warn!(%error, "custom kind is not served"),
            }
        }
        *self.registry.write() = Served::new(registry);
    }

    /// Latest state of one object.
    pub(crate) fn read(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.store
            .snapshot()
            .get(&key(kind, namespace, name))
            .cloned()
    }

    /// Latest state of one object, or 404.
    pub(crate) fn require(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Object>, Status> {
        self.read(kind, namespace, name)
            .ok_or_else(|| Status::not_found(kind, name))
    }
}

impl Served {
    fn new(registry: Registry) -> Self {
        let registry = Arc::new(registry);
        let documents = Arc::new(crate::http::Documents::new(Arc::clone(&registry)));
        Self {
            registry,
            documents,
        }
    }
}

/// `<group>/<plural>` under which objects of a kind are stored.
pub(crate) fn resource(kind: &Kind) -> String {
    format!("{}/{}", kind.stored_group, kind.plural)
}

/// Key of an object of a kind.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> Key {
    Key::new(&resource(kind), namespace, name)
}

/// The read function of admission hooks over one snapshot.
pub(crate) fn reader(snapshot: Snapshot) -> Box<Get<'static>> {
    Box::new(move |resource, namespace, name| {
        let object = snapshot.get(&Key::new(resource, namespace, name))?;
        Some(Arc::clone(&object.value))
    })
}

/// Answer for a store error that is no conflict.
pub(crate) fn store_status(error: &store::Error) -> Status {
    match error {
        store::Error::Closed => Status::unavailable("the server is shutting down"),
        other => Status::internal(other),
    }
}

/// A string below an object: `text(v, &["metadata", "name"])`; empty if absent.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter()
        .try_fold(value, |value, step| value.get(step))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
