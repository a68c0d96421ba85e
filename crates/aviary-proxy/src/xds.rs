//! The client of the control plane: keeps an ADS stream open and publishes what it brings.

mod status;

use std::sync::Arc;

use tokio::sync::watch;

use crate::Config;
use crate::config::Xds;
use crate::snapshot::Snapshot;
use crate::state::Store;

pub(crate) use status::Status;

/// What is published to the workers.
pub(crate) type Publish = watch::Sender<Option<Arc<Snapshot>>>;

/// Keeps the proxy's configuration up to date.
pub(crate) struct Client {
    server: Xds,
    publish: Publish,
    store: Option<Store>,
    status: Arc<Status>,
}

impl Client {
    /// A client for the proxy that `config` describes.
    pub(crate) fn new(
        _config: &Config,
        server: Xds,
        publish: Publish,
        store: Option<Store>,
        status: Arc<Status>,
    ) -> Self {
        Self {
            server,
            publish,
            store,
            status,
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        self.publish.closed().await;
    }
}
