//! The last good configuration on disk, so that a restarted proxy serves at once.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aviary_mesh::MeshConfig;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Format of the file; another one is not read.
const FORMAT: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Kept<C> {
    format: u32,
    config: C,
}

/// Where the last good configuration is kept; only this user may read it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// In `folder`, which is made when it is not there.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// What was kept last; `None` when nothing was, or it cannot be used.
    pub(crate) fn load(&self) -> Option<Arc<MeshConfig>> {
        let bytes = match std::fs::read(self.file()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %self.file().display(), %error, "cannot read the last good configuration");
                return None;
            }
        };
        match serde_json::from_slice::<Kept<MeshConfig>>(&bytes) {
            Ok(kept) if kept.format == FORMAT => Some(Arc::new(kept.config)),
            Ok(kept) => {
                tracing::warn!(
                    format = kept.format,
                    "last good configuration has another format"
                );
                None
            }
            Err(error) => {
                tracing::warn!(%error, "cannot use the last good configuration");
                None
            }
        }
    }

    /// Keeps `config`: wholly, or what was kept before stays.
    ///
    /// # Errors
    /// The system's, when the file cannot be written.
    pub(crate) fn save(&self, config: &MeshConfig) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let bytes = serde_json::to_vec(&Kept {
            format: FORMAT,
            config,
        })?;
        let next = self.folder.join("config.json.next");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&next, self.file())
    }
}

/// Keeps each configuration on disk; those that come while one is written are passed over for the
/// last. Ends when there will be no more.
pub(crate) async fn keep(store: Store, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
    while snapshots.changed().await.is_ok() {
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            continue;
        };
        let store = store.clone();
        let saved = tokio::task::spawn_blocking(move || store.save(snapshot.mesh())).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot keep the configuration"),
            Err(error) => tracing::error!(%error, "keeping the configuration broke"),
        }
    }
}
