//! How the agent and the command line get into the node's namespaces.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::holder::{parent_is_gone, signal_fd};
use super::{Error, State};
use crate::{init, sys};

/// Which side of [`enter`] this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// This process is inside the sandbox and goes on with its work.
    Inside,
    /// This is the process outside; the one inside has ended with this exit code.
    Ended(i32),
}

/// Enters the sandbox of `home` and forks, so that the child is inside its pid namespace too.
///
/// Must be called from a process with one thread. In the child it returns [`Entered::Inside`]. The parent passes SIGTERM
/// on, waits, and returns [`Entered::Ended`]; when the parent is killed, so is the child.
///
/// # Errors
/// There is no live sandbox, or it belongs to another user.
pub fn enter(home: &Path) -> Result<Entered, Error> {
    let folder = std::env::current_dir();
    join_namespaces(State::read(home)?.pid)?;
    if let Ok(folder) = folder {
        // Entering a mount namespace moves to its root; the same folder is there too.
        let _ = std::env::set_current_dir(folder);
    }
    let (parent_lives, parent_end) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(Error::sys("cannot make a pipe"))?;
    let signals = signal_fd(&[Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT])?;
    let Some(child) = sys::fork().map_err(Error::sys("cannot fork into the sandbox"))? else {
        drop((parent_end, signals));
        SigSet::empty()
            .thread_set_mask()
            .map_err(Error::sys("cannot unblock signals"))?;
        set_pdeathsig(Signal::SIGKILL).map_err(Error::sys("cannot follow the parent's end"))?;
        if parent_is_gone(&parent_lives) {
            return Err(Error::NotReady);
        }
        return Ok(Entered::Inside);
    };
    drop(parent_lives);
    let code = wait_and_forward(child, &signals)?;
    drop(parent_end);
    Ok(Entered::Ended(code))
}

fn wait_and_forward(child: Pid, signals: &nix::sys::signalfd::SignalFd) -> Result<i32, Error> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            _ => {}
        }
        let mut polled = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::NONE);
        while let Ok(Some(info)) = signals.read_signal() {
            // A terminal's SIGINT reaches the child by itself.
            if info.ssi_signo == Signal::SIGTERM as u32 {
                kill(child, Signal::SIGTERM).map_err(Error::sys("cannot pass a signal on"))?;
            }
        }
    }
}

fn join_namespaces(pid: i32) -> Result<(), Error> {
    let open = |name: &str| -> Result<(File, bool), Error> {
        let path = format!("/proc/{pid}/ns/{name}");
        let file = File::open(&path).map_err(Error::io(format!("cannot open `{path}`")))?;
        let theirs = file.metadata().map(|meta| meta.ino()).ok();
        let ours = std::fs::metadata(format!("/proc/self/ns/{name}"))
            .map(|meta| meta.ino())
            .ok();
        Ok((file, theirs == ours))
    };
    // All are opened before the first is entered: afterwards /proc is another one.
    let mut files = Vec::new();
    for (name, flag) in [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("net", CloneFlags::CLONE_NEWNET),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ] {
        let (file, same) = open(name)?;
        // The kernel refuses to enter the user namespace that one is in already.
        if !same {
            files.push((name, OwnedFd::from(file), flag));
        }
    }
    for (name, file, flag) in files {
        setns(file, flag).map_err(Error::sys(format!("cannot enter the {name} namespace")))?;
    }
    Ok(())
}

/// Runs `argv` in the node's namespaces with this process's terminal and gives its exit code.
///
/// Must be called from a process with one thread.
///
/// # Errors
/// As [`enter`]; the program cannot be started.
pub fn exec_in_node(home: &Path, argv: &[String]) -> Result<i32, Error> {
    let [program, arguments @ ..] = argv else {
        return Err(Error::io("nothing to run")(
            io::ErrorKind::InvalidInput.into(),
        ));
    };
    match enter(home)? {
        Entered::Ended(code) => Ok(code),
        Entered::Inside => {
            let error = Command::new(program).args(arguments).exec();
            writeln!(io::stderr(), "cannot run `{program}`: {error}")
                .map_err(Error::io("cannot write to standard error"))?;
            // This is the child: its code is what the parent reports.
            Ok(if error.kind() == io::ErrorKind::NotFound {
                127
            } else {
                126
            })
        }
    }
}

/// Runs `argv` in a container of the pod `namespace`/`name` with this process's standard streams, and gives its exit
/// code. `container` is the first application container if `None`.
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
    State::read(home)?;
    let spec = init::PodSpec::all(home)
        .into_iter()
        .find(|spec| spec.namespace == namespace && spec.name == name)
        .ok_or_else(|| Error::NoPod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })?;
    let container = container.map_or_else(|| spec.default_container.clone(), str::to_owned);
    let streams = [
        io::stdin().as_fd().try_clone_to_owned(),
        io::stdout().as_fd().try_clone_to_owned(),
        io::stderr().as_fd().try_clone_to_owned(),
    ];
    let mut fds = Vec::new();
    for stream in streams {
        fds.push(stream.map_err(Error::io("cannot hand over the standard streams"))?);
    }
    let socket = init::socket(&spec.folder(home));
    Ok(init::client::exec(&socket, &container, argv, &fds)?)
}
