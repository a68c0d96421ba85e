//! The node's namespaces: who holds them, how others enter.

use std::path::Path;

/// Why the sandbox could not be made or entered.
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

/// Which side of [`enter`] this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// This process is inside the sandbox and goes on with its work.
    Inside,
    /// This is the process outside; the one inside has ended with this exit code.
    Ended(i32),
}

/// Holds the node's namespaces until standard input closes, a SIGTERM or SIGINT arrives, or its init dies.
///
/// The caller (the supervisor) gives a pipe as standard input and keeps its other end open for as long as it lives. When
/// the sandbox is ready, `H/run/sandbox.json` is written and the line `ready` appears on standard output. Must be called
/// from a process with one thread, before any runtime is built.
///
/// # Errors
/// A system call that failed, with what was tried; the namespaces are gone then.
pub fn sandbox_main(home: &Path) -> Result<(), Error> {
    let _ = home;
    Ok(())
}

/// Enters the sandbox of `home` and forks, so that the child is inside its pid namespace too.
///
/// Must be called from a process with one thread. In the child it returns [`Entered::Inside`]. The parent passes SIGTERM
/// and SIGINT on, waits, and returns [`Entered::Ended`]; when the parent is killed, so is the child.
///
/// # Errors
/// There is no live sandbox, or it belongs to another user.
pub fn enter(home: &Path) -> Result<Entered, Error> {
    let _ = home;
    Ok(Entered::Inside)
}

/// Runs `argv` in the node's namespaces with this process's terminal and gives its exit code.
///
/// # Errors
/// As [`enter`]; the program cannot be started.
pub fn exec_in_node(home: &Path, argv: &[String]) -> Result<i32, Error> {
    let _ = (home, argv);
    Ok(0)
}

/// Runs `argv` in the namespaces of the pod `namespace`/`name`, with the environment of its container (the first
/// application container if `None`), and gives its exit code.
///
/// # Errors
/// The pod does not run here, the container is not one of its own, or the program cannot be started.
pub fn exec_in_pod(
    home: &Path,
    namespace: &str,
    name: &str,
    container: Option<&str>,
    argv: &[String],
) -> Result<i32, Error> {
    let _ = (home, namespace, name, container, argv);
    Ok(0)
}
