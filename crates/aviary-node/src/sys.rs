//! The few system calls that have no safe wrapper. The only file of this crate with `unsafe`.
#![expect(
    unsafe_code,
    reason = "fork, pre_exec, capset and descriptor flags have no safe interface"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{ForkResult, Pid};

/// `CAP_*` numbers of linux/capability.h that a container may keep.
pub(crate) mod capability {
    pub(crate) const CHOWN: u32 = 0;
    pub(crate) const FOWNER: u32 = 3;
    pub(crate) const FSETID: u32 = 4;
    pub(crate) const KILL: u32 = 5;
    pub(crate) const SETGID: u32 = 6;
    pub(crate) const SETUID: u32 = 7;
    pub(crate) const NET_BIND_SERVICE: u32 = 10;
    pub(crate) const NET_ADMIN: u32 = 12;
    pub(crate) const NET_RAW: u32 = 13;
}

/// Forks the calling process, which must have one thread only.
///
/// Gives the child's pid in the parent and `None` in the child.
pub(crate) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: every caller documents that it runs in a process with one thread, so the child may allocate and lock.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Runs `prepare` in the child between fork and exec; an error there fails the spawn.
///
/// Only for processes with one thread, where `prepare` may allocate.
pub(crate) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: pod init has one thread, so no lock can be held by a thread that the child lacks.
    unsafe { command.pre_exec(prepare) };
}

/// Lets `fd` survive an exec.
pub(crate) fn keep_over_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD with no flags touches nothing but the descriptor's own flags; a bad descriptor gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops every capability except `keep`, for this process and for all that it executes.
pub(crate) fn keep_capabilities(keep: &[u32]) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    for number in 0..64_u32 {
        if !keep.contains(&number) {
            // SAFETY: PR_CAPBSET_DROP takes plain numbers; numbers beyond the last capability give EINVAL.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        }
    }
    let mut header = CapabilityHeader {
        version: VERSION_3,
        pid: 0,
    };
    let none = CapabilityData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let mut data = [none; 2];
    // SAFETY: both structures have the kernel's layout for version 3 (one header, two data words) and outlive the call.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    for (word, data) in data.iter_mut().enumerate() {
        let mask = keep
            .iter()
            .filter(|number| (**number / 32) as usize == word)
            .fold(0_u32, |mask, number| mask | 1 << (number % 32));
        data.permitted &= mask;
        data.effective = data.permitted;
        data.inheritable = 0;
    }
    // SAFETY: as for capget.
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes descriptors that the kernel has just handed to this process.
pub(crate) fn adopt(fds: Vec<RawFd>) -> Vec<OwnedFd> {
    // SAFETY: recvmsg made these descriptors for this process and nothing else owns them.
    fds.into_iter()
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}
