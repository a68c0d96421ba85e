//! The process that holds the node's namespaces, and its first process inside.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, pipe2, setsid};

use super::{Error, State, file, start_ticks};
use crate::{dns, network, sys};

/// How long the pods get to end by themselves once the sandbox is told to stop.
const STOP_GRACE: Duration = Duration::from_millis(2500);

/// Holds the node's namespaces until standard input closes, a SIGTERM or SIGINT arrives, or its init dies.
///
/// The caller (the supervisor) gives a pipe as standard input and keeps its other end open for as long as it lives. When
/// the sandbox is ready, `H/run/sandbox.json` is written and the line `ready` appears on standard output. Must be called
/// from a process with one thread, before any runtime is built.
///
/// # Errors
/// A system call that failed, with what was tried; the namespaces are gone then.
pub fn sandbox_main(home: &Path) -> Result<(), Error> {
    // A terminal's Ctrl-C must reach the supervisor only, which then stops things in order.
    let _ = setsid();
    fs::create_dir_all(home.join("run")).map_err(Error::io("cannot make the `run` folder"))?;
    enter_new_namespaces()?;
    let (parent_lives, parent_end) = pipe().map_err(Error::sys("cannot make a pipe"))?;
    let (ready, ready_end) = pipe().map_err(Error::sys("cannot make a pipe"))?;
    let Some(child) = sys::fork().map_err(Error::sys("cannot fork the sandbox's init"))? else {
        drop((parent_end, ready));
        return node_init(home, &parent_lives, ready_end);
    };
    drop((parent_lives, ready_end));
    let held = hold(home, child, ready);
    let _ = fs::remove_file(file(home));
    drop(parent_end);
    held
}

fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// Ordinary users get a user namespace in which they are root; root needs none.
fn enter_new_namespaces() -> Result<(), Error> {
    let (uid, gid) = (geteuid(), getegid());
    if !uid.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|source| Error::UserNamespace {
            source: source.into(),
        })?;
        for (name, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {uid} 1")),
            ("gid_map", format!("0 {gid} 1")),
        ] {
            fs::write(format!("/proc/self/{name}"), text)
                .map_err(|source| Error::UserNamespace { source })?;
        }
    }
    unshare(
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .map_err(Error::sys("cannot make the node's namespaces"))
}

/// The outer process: reports readiness, then waits for an end of any kind.
fn hold(home: &Path, child: Pid, ready: OwnedFd) -> Result<(), Error> {
    let mut byte = [0_u8];
    let got = fs::File::from(ready).read(&mut byte).unwrap_or(0);
    if got == 0 {
        let _ = waitpid(child, None);
        return Err(Error::NotReady);
    }
    let signals = signal_fd(&[Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT])?;
    publish(home, child)?;
    writeln!(io::stdout(), "ready").map_err(Error::io("cannot tell the supervisor"))?;
    let stdin = io::stdin();
    let mut asked_at: Option<Instant> = None;
    loop {
        let timeout = match asked_at {
            None => PollTimeout::NONE,
            Some(at) if at.elapsed() > STOP_GRACE + Duration::from_millis(500) => {
                let _ = kill(child, Signal::SIGKILL);
                PollTimeout::NONE
            }
            Some(_) => PollTimeout::from(100_u8),
        };
        // Once asked to stop, a closed standard input would make poll return at once for ever.
        let watched: &[BorrowedFd<'_>] = match asked_at {
            None => &[signals.as_fd(), stdin.as_fd()],
            Some(_) => &[signals.as_fd()],
        };
        let (signalled, closed) = wait_for(watched, timeout)?;
        if signalled {
            while let Ok(Some(info)) = signals.read_signal() {
                if info.ssi_signo != Signal::SIGCHLD as u32 {
                    asked_at.get_or_insert_with(Instant::now);
                    let _ = kill(child, Signal::SIGTERM);
                }
            }
            if let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
                waitpid(child, Some(WaitPidFlag::WNOHANG))
            {
                return Ok(());
            }
        }
        if closed && asked_at.is_none() && stdin.lock().read(&mut byte).unwrap_or(0) == 0 {
            asked_at = Some(Instant::now());
            let _ = kill(child, Signal::SIGTERM);
        }
    }
}

/// Waits for the first (signals) and the second (standard input) of `watched`.
fn wait_for(watched: &[BorrowedFd<'_>], timeout: PollTimeout) -> Result<(bool, bool), Error> {
    let mut polled: Vec<_> = watched
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(Error::sys("cannot wait for events")(error)),
    }
    let fired = |index: usize| polled.get(index).and_then(PollFd::any).unwrap_or(false);
    Ok((fired(0), fired(1)))
}

fn publish(home: &Path, child: Pid) -> Result<(), Error> {
    let state = State {
        pid: child.as_raw(),
        start_ticks: start_ticks(child.as_raw()).unwrap_or_default(),
    };
    let text = serde_json::to_vec(&state).unwrap_or_default();
    let path = file(home);
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(Error::io(format!("cannot write `{}`", path.display())))
}

pub(super) fn signal_fd(signals: &[Signal]) -> Result<SignalFd, Error> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block()
        .map_err(Error::sys("cannot block signals"))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(Error::sys("cannot make a signal descriptor"))
}

/// True if the process at the other end of `parent_lives` has ended.
pub(super) fn parent_is_gone(parent_lives: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(parent_lives.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// First process of the node's pid namespace: makes mounts and network, serves DNS, reaps.
fn node_init(home: &Path, parent_lives: &OwnedFd, ready: OwnedFd) -> Result<(), Error> {
    set_pdeathsig(Signal::SIGKILL).map_err(Error::sys("cannot tie the sandbox to its parent"))?;
    if parent_is_gone(parent_lives) {
        return Err(Error::NotReady);
    }
    let signals = signal_fd(&[Signal::SIGCHLD, Signal::SIGTERM])?;
    // Only here, so that the outer process keeps the host's /proc.
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::sys("cannot make a mount namespace"))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(Error::sys("cannot make the mounts private"))?;
    // Where a container engine masks parts of /proc the kernel refuses a new one; the old one serves.
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), plain, none);
    show_names(home)?;
    network::link::make_node()?;
    let mut dns = start_dns(home)?;
    fs::File::from(ready)
        .write_all(b"r")
        .map_err(Error::io("cannot report readiness"))?;
    loop {
        wait_for(&[signals.as_fd()], PollTimeout::NONE)?;
        while let Ok(Some(info)) = signals.read_signal() {
            if info.ssi_signo == Signal::SIGTERM as u32 {
                stop_everything(&signals);
                return Ok(());
            }
        }
        while let Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) =
            waitpid(None, Some(WaitPidFlag::WNOHANG))
        {
            if status.pid() == Some(dns) {
                dns = start_dns(home)?;
            }
        }
    }
}

/// Programs run in the node's network find Services by name.
fn show_names(home: &Path) -> Result<(), Error> {
    let what = || Error::io("cannot show the node's files in /etc");
    let etc = home.join("run/etc");
    let spare = home.join("run/root");
    fs::create_dir_all(&etc).map_err(what())?;
    fs::write(etc.join("resolv.conf"), network::resolv_conf("default")).map_err(what())?;
    fs::write(etc.join("nsswitch.conf"), network::NSSWITCH).map_err(what())?;
    crate::init::replace_etc(&etc, &spare).map_err(what())
}

/// Asks every process of the sandbox to end and waits for them, at most [`STOP_GRACE`].
fn stop_everything(signals: &SignalFd) {
    let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
    let deadline = Instant::now() + STOP_GRACE;
    while Instant::now() < deadline {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return,
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let _ = wait_for(&[signals.as_fd()], PollTimeout::from(100_u8));
        while let Ok(Some(_)) = signals.read_signal() {}
    }
}

/// Starts the DNS server in a process of its own, so that no query can end the sandbox.
fn start_dns(home: &Path) -> Result<Pid, Error> {
    if let Some(child) = sys::fork().map_err(Error::sys("cannot start the DNS server"))? {
        Ok(child)
    } else {
        let _ = SigSet::empty().thread_set_mask();
        let _ = nix::sys::prctl::set_name(c"aviary-dns");
        dns::server::serve(&dns::file(home)).map_err(Error::io("the DNS server failed"))
    }
}
