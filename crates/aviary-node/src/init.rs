//! The init process of a pod.

use std::path::Path;

/// Why a pod's init could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Makes the pod's namespaces and network as `spec_path` (`H/pods/<uid>/init.json`) says, leaves the init process behind
/// as first process of the pod and returns when its socket answers.
///
/// Must be called from a process with one thread. In the init process itself this function returns only when the pod
/// ends, so the caller should end the process on return in either case.
///
/// # Errors
/// A system call that failed, with what was tried.
pub fn pod_init_main(spec_path: &Path) -> Result<(), Error> {
    let _ = spec_path;
    Ok(())
}
