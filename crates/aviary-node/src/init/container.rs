//! Starting a process as a container.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, chroot, fchdir, pipe2, setsid};

use super::mount::{View, hide, make_private};
use super::protocol::Start;
use crate::sys::{self, capability as cap};

/// What an ordinary program needs; a container engine's usual set without those that reach other people's files.
const ORDINARY: [u32; 8] = [
    cap::CHOWN,
    cap::FOWNER,
    cap::FSETID,
    cap::KILL,
    cap::SETGID,
    cap::SETUID,
    cap::NET_BIND_SERVICE,
    cap::NET_RAW,
];

/// A process that runs, and the ends of its output pipes.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts `start` with the listening sockets `fds`. `folder` is the pod's.
pub(super) fn spawn(
    start: &Start,
    fds: &[OwnedFd],
    home: &Path,
    folder: &Path,
) -> io::Result<Spawned> {
    let mut command = command(&start.argv, &start.env)?;
    let (stdout, stdout_end) = output_pipe()?;
    let (stderr, stderr_end) = output_pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(stdout_end)
        .stderr(stderr_end);
    let listen: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    if !listen.is_empty() {
        let pairs: Vec<String> = start
            .listen
            .iter()
            .zip(&listen)
            .map(|(port, fd)| format!("{port}={fd}"))
            .collect();
        command.env("AVIARY_LISTEN_FDS", pairs.join(","));
    }
    let start = start.clone();
    let (home, spare) = (home.to_path_buf(), folder.join("root"));
    sys::before_exec(&mut command, move || {
        let _ = setsid();
        for fd in &listen {
            sys::keep_over_exec(*fd)?;
        }
        isolate(&start, &home, &spare)
    });
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Spawned {
        pid: Pid::from_raw(pid),
        stdout,
        stderr,
    })
}

fn command(argv: &[String], env: &[(String, String)]) -> io::Result<Command> {
    let [program, arguments @ ..] = argv else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the command is empty",
        ));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// In the child: the container's own mounts, then fewer rights.
fn isolate(start: &Start, home: &Path, spare: &Path) -> io::Result<()> {
    let note = |what: String| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    unshare(CloneFlags::CLONE_NEWNS)?;
    make_private()?;
    let mut view = View::default();
    view.show_all(&start.mounts, spare)?;
    hide(home, &start.reveal).map_err(note("cannot hide the home folder".to_owned()))?;
    enter_folder(start.cwd.as_deref())?;
    drop_rights(start.sidecar)
}

fn enter_folder(folder: Option<&Path>) -> io::Result<()> {
    std::env::set_current_dir(folder.unwrap_or_else(|| Path::new("/")))
}

fn drop_rights(sidecar: bool) -> io::Result<()> {
    let mut keep = ORDINARY.to_vec();
    if sidecar {
        keep.push(cap::NET_ADMIN);
    }
    sys::keep_capabilities(&keep)?;
    set_no_new_privs()?;
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// A container that runs, as needed to enter it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pid: Pid,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) sidecar: bool,
}

/// Runs `argv` beside the container's main process; `fds` are its standard streams, none for silence.
pub(super) fn exec(place: &Place, argv: &[String], fds: Vec<OwnedFd>) -> io::Result<Pid> {
    let mut command = command(argv, &place.env)?;
    let mut streams = fds.into_iter().map(Stdio::from);
    command.stdin(streams.next().unwrap_or_else(Stdio::null));
    command.stdout(streams.next().unwrap_or_else(Stdio::null));
    command.stderr(streams.next().unwrap_or_else(Stdio::null));
    let namespace = File::open(format!("/proc/{}/ns/mnt", place.pid))?;
    let root = File::open(format!("/proc/{}/root", place.pid))?;
    let (cwd, sidecar) = (place.cwd.clone(), place.sidecar);
    sys::before_exec(&mut command, move || {
        let _ = setsid();
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        fchdir(&root)?;
        chroot(".")?;
        enter_folder(cwd.as_deref())?;
        drop_rights(sidecar)
    });
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}
