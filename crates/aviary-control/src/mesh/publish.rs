//! The configurations of all kinds of proxies that are connected.

use std::{collections::HashMap, sync::Arc};

use aviary_mesh::MeshConfig;
use aviary_translate::{ProxyKey, Snapshot, translate, translate_endpoints};
use aviary_xds::Snapshot as Encoded;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::world::Change;

/// Translates for every kind of proxy once and hands the result to all proxies of that kind.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    inner: Mutex<Inner>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    snapshot: Snapshot,
    feeds: HashMap<ProxyKey, watch::Sender<Arc<Encoded>>>,
}

impl Publisher {
    /// Whether anything was published.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Makes a snapshot the present one; gives its version.
    pub(crate) fn publish(&self, snapshot: &Snapshot, change: Change) -> u64 {
        let mut inner = self.inner.lock();
        inner.version += 1;
        inner.snapshot = snapshot.clone();
        let version = inner.version;
        inner.feeds.retain(|_, feed| feed.receiver_count() > 0);
        for (key, feed) in &inner.feeds {
            let old = Arc::clone(&feed.borrow());
            let config = if change == Change::Endpoints {
                translate_endpoints(snapshot, key, old.config())
            } else {
                translate(snapshot, key).0
            };
            if config != **old.config() {
                feed.send_replace(encode(version, config, Some(&old)));
            }
        }
        drop(inner);
        self.ready
            .send_if_modified(|ready| !std::mem::replace(ready, true));
        version
    }

    /// The configurations of one kind of proxy, now and from now on. Waits for the first snapshot.
    pub(crate) async fn subscribe(&self, key: ProxyKey) -> watch::Receiver<Arc<Encoded>> {
        // The sender lives in `self`, so that this cannot fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
        let mut inner = self.inner.lock();
        if let Some(feed) = inner.feeds.get(&key) {
            return feed.subscribe();
        }
        let config = translate(&inner.snapshot, &key).0;
        let (feed, receiver) = watch::channel(encode(inner.version, config, None));
        inner.feeds.insert(key, feed);
        receiver
    }

    /// The version of the configuration that each kind of proxy has now.
    pub(crate) fn versions(&self) -> HashMap<ProxyKey, u64> {
        let inner = self.inner.lock();
        inner
            .feeds
            .iter()
            .map(|(key, feed)| (key.clone(), feed.borrow().version()))
            .collect()
    }
}

fn encode(version: u64, config: MeshConfig, previous: Option<&Encoded>) -> Arc<Encoded> {
    Arc::new(Encoded::new(version, Arc::new(config), previous))
}
