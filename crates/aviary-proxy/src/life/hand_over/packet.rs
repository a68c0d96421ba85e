//! The words of a hand-over: one packet each, with at most one descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Bytes of a packet: JSON with white space behind it.
const LENGTH: usize = 1024;

/// What the two proxies say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Packet {
    /// The newer one wants the sockets.
    Take { version: u32 },
    /// One of them comes with this packet.
    Socket { purpose: Purpose },
    /// So many came; there are no more.
    End { count: usize },
    /// The newer one accepts from all of them.
    Ready,
}

/// What a listening socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Purpose {
    /// Traffic, for a listener of the configuration.
    Traffic {
        /// The worker that accepted from it.
        worker: usize,
        /// The listener's address.
        address: SocketAddr,
        /// It was inherited at the start, for the listener of this port.
        inherited: Option<u16>,
    },
    /// Pages of the proxy's own, by their name.
    Pages(String),
}

pub(super) fn send(
    socket: &UnixStream,
    packet: &Packet,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut text = serde_json::to_vec(packet)?;
    text.resize(LENGTH, b' ');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(&text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    // A blocking socket takes the whole packet, unless time is over.
    if sent < LENGTH {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

/// The next packet with its descriptor; `None` when the other end is gone.
pub(super) fn receive(socket: &UnixStream) -> io::Result<Option<(Packet, Option<OwnedFd>)>> {
    let mut text = [0; LENGTH];
    let mut filled = 0;
    let mut descriptor = None;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            socket,
            &mut [IoSliceMut::new(rest)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Ok(None);
        }
        filled += received.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.last().or(descriptor);
            }
        }
    }
    Ok(Some((serde_json::from_slice(&text)?, descriptor)))
}
