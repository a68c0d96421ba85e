//! Taking over listening sockets that somebody else opened.

use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};

use crate::config::Inherited;

/// The sockets, by the port of their listener.
///
/// Called once per process: a descriptor must not be taken over twice.
#[expect(
    unsafe_code,
    reason = "descriptors arrive as bare numbers in the environment"
)]
pub(crate) fn take(inherited: &[Inherited]) -> Vec<(u16, TcpListener)> {
    inherited
        .iter()
        .map(|socket| {
            // SAFETY: the parent opened this descriptor for us and names it once; nothing else in
            // this process uses it, and this function is called once.
            let owned = unsafe { OwnedFd::from_raw_fd(socket.fd) };
            (socket.port, TcpListener::from(owned))
        })
        .collect()
}
