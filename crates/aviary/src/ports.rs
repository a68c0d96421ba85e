//! The loopback sockets of the host, bound here and handed down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, RawFd};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// A listening socket of the host's loopback interface.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The port asked for, when it was taken.
    pub(crate) instead_of: Option<u16>,
}

impl Bound {
    /// Binds `wanted`, else `last` (the port of the last run), else any free port. Whoever wants 0
    /// does not care, and keeps the port of the last run while it is free.
    ///
    /// # Errors
    /// Loopback has no free port.
    pub(crate) fn bind(wanted: u16, last: Option<u16>) -> Result<Self> {
        let socket = [Some(wanted).filter(|port| *port != 0), last, Some(0)]
            .into_iter()
            .flatten()
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .context("no free port on loopback")?;
        let address = socket.local_addr()?;
        let instead_of = (address.port() != wanted && wanted != 0).then_some(wanted);
        Ok(Self {
            socket,
            address,
            instead_of,
        })
    }

    /// The descriptor's number, the same in children that inherit it.
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Lets the children spawned from now on inherit it, or no longer.
    pub(crate) fn inherit(&self, on: bool) -> Result<()> {
        keep_over_exec(&self.socket, on)
    }
}

/// Takes over a socket inherited from the supervisor; it goes no further than this process.
///
/// # Errors
/// `fd` is not open.
pub(crate) fn inherited(fd: RawFd) -> Result<TcpListener> {
    #[expect(
        unsafe_code,
        reason = "an inherited descriptor has no owner until it is given one"
    )]
    // SAFETY: the supervisor passed this number for this purpose; nothing else in the process owns it,
    // and a number that is not open makes the next call fail.
    let socket = unsafe { TcpListener::from_raw_fd(fd) };
    keep_over_exec(&socket, false).with_context(|| format!("descriptor {fd} was not inherited"))?;
    Ok(socket)
}

fn keep_over_exec(socket: impl AsFd, on: bool) -> Result<()> {
    let flags = if on {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    fcntl(socket, FcntlArg::F_SETFD(flags)).context("cannot hand a socket down")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn port_of_the_last_run_is_kept_when_none_is_wanted() {
        let last = Bound::bind(0, None).unwrap().address.port();
        let again = Bound::bind(0, Some(last)).unwrap();
        assert_eq!((again.address.port(), again.instead_of), (last, None));
    }

    #[test]
    fn taken_port_is_replaced_and_told() {
        let other = Bound::bind(0, None).unwrap();
        let taken = other.address.port();
        let bound = Bound::bind(taken, None).unwrap();
        assert_ne!(bound.address.port(), taken);
        assert_eq!(bound.instead_of, Some(taken));
    }
}
