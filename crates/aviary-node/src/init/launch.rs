//! From the agent's call to a running init: namespaces, network, first process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{pipe2, setsid};

use super::{Error, PodSpec, mount as view, serve};
use crate::network::{link, nft, redirect};
use crate::sys;

/// Makes the pod's namespaces and network as `spec_path` (`H/pods/<uid>/init.json`) says, leaves the init process behind
/// as first process of the pod and returns when its socket answers.
///
/// Must be called from a process with one thread. In the init process itself this function returns only when the pod
/// ends, so the caller should end the process on return in either case.
///
/// # Errors
/// A system call that failed, with what was tried.
pub fn pod_init_main(spec_path: &Path) -> Result<(), Error> {
    let text =
        fs::read(spec_path).map_err(Error::io(format!("cannot read `{}`", spec_path.display())))?;
    let spec: PodSpec = serde_json::from_slice(&text)
        .map_err(|error| Error::io("the pod's specification is not readable")(error.into()))?;
    let folder = spec.folder(&spec.home);
    make_namespaces(&spec)?;
    let (ready, ready_end) =
        pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(Error::sys("cannot make a pipe"))?;
    // The fork below makes the first process of the pid namespace; no other program may start in between.
    unshare(CloneFlags::CLONE_NEWPID).map_err(Error::sys("cannot make a pid namespace"))?;
    if sys::fork()
        .map_err(Error::sys("cannot fork the pod's init"))?
        .is_some()
    {
        drop(ready_end);
        let mut byte = [0_u8];
        return match File::from(ready).read(&mut byte) {
            Ok(1) => Ok(()),
            _ => Err(Error::Gone),
        };
    }
    drop(ready);
    become_init(&spec, &folder, ready_end)
}

fn make_namespaces(spec: &PodSpec) -> Result<(), Error> {
    let own =
        || File::open("/proc/self/ns/net").map_err(Error::io("cannot open the own namespace"));
    let node = own()?;
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    if spec.address.is_some() {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).map_err(Error::sys("cannot make the pod's namespaces"))?;
    if let Some(address) = spec.address {
        link::make_pod(&node, &own()?, &spec.host_link, address)?;
        // Programs may then bind low ports without any capability; where it cannot be set they have the capability.
        let _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
        if spec.redirect {
            nft::apply("a meshed pod", &redirect::rules())?;
        }
    }
    nix::unistd::sethostname(&spec.hostname).map_err(Error::sys("cannot set the host name"))
}

fn become_init(spec: &PodSpec, folder: &Path, ready: OwnedFd) -> Result<(), Error> {
    let _ = setsid();
    let _ = nix::sys::prctl::set_name(c"aviary-init");
    view::make_private().map_err(Error::io("cannot make the mounts private"))?;
    let none: Option<&str> = None;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // As in the sandbox: a masked /proc forbids a fresh one, and the old one serves.
    let _ = mount(Some("proc"), "/proc", Some("proc"), plain, none);
    view::replace_etc(&folder.join("etc"), &folder.join("root"))
        .map_err(Error::io("cannot show the pod's files in /etc"))?;
    std::env::set_current_dir(folder).map_err(Error::io("cannot enter the pod's folder"))?;
    // Relative, because the path of a socket may have 107 bytes at most.
    let _ = fs::remove_file("init.sock");
    let listener = UnixListener::bind("init.sock").map_err(Error::io("cannot bind `init.sock`"))?;
    let mut init = serve::Init::new(spec, folder, listener)?;
    File::from(ready)
        .write_all(b"r")
        .map_err(Error::io("cannot report readiness"))?;
    init.run()
}
