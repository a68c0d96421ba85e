//! Where an installation keeps its state.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io::Write};

use anyhow::{Context, Result, ensure};

/// Longest path of a unix socket on Linux, without the final NUL.
const SOCKET_PATH_MAX: usize = 107;

/// The state folder of one installation.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder asked for, or `$XDG_DATA_HOME/aviary`, or `~/.local/share/aviary`.
    ///
    /// # Errors
    /// When no folder was given and the user has no home, or its path is too long for sockets.
    pub(crate) fn resolve(asked: Option<PathBuf>) -> Result<Self> {
        let path = match asked {
            Some(path) => path,
            None => env::var_os("XDG_DATA_HOME")
                .map(PathBuf::from)
                .or_else(|| env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/share")))
                .context("no state folder: set AVIARY_HOME or pass `--home DIR`")?
                .join("aviary"),
        };
        let path = std::path::absolute(&path)?;
        // The longest socket below it is pods/<uid of 36>/init.sock.
        ensure!(
            path.as_os_str().len() + "/pods//init.sock".len() + 36 <= SOCKET_PATH_MAX,
            "the state folder's path `{}` is too long for unix sockets (at most {} bytes): choose a shorter AVIARY_HOME",
            path.display(),
            SOCKET_PATH_MAX - "/pods//init.sock".len() - 36
        );
        Ok(Self(path))
    }

    /// Makes the folders, readable by the owner only.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in ["", "run", "pki", "data", "pods", "logs"] {
            let path = self.0.join(folder);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .with_context(|| format!("cannot make the folder `{}`", path.display()))?;
        }
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("`{}` is not ours", self.0.display()))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path below it.
    pub(crate) fn join(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    /// The user's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.join("kubeconfig")
    }

    /// What the running supervisor says of itself.
    pub(crate) fn up_file(&self) -> PathBuf {
        self.join("run/up.json")
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
