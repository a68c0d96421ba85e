//! One connection to init: bytes and descriptors in, lines out.

use std::io::{IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde::Serialize;

use crate::sys;

/// Longest request; a start request with a large environment has some hundred kilobytes.
const REQUEST_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) watches: bool,
    pub(super) closed: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            fds: Vec::new(),
            watches: false,
            closed: false,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Reads what is there and gives the next whole line, if one is complete.
    pub(super) fn read_line(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0_u8; 16 * 1024];
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; 16]);
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let message = recvmsg::<()>(
                self.stream.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            let count = match message {
                Ok(message) => {
                    for item in message.cmsgs().into_iter().flatten() {
                        if let ControlMessageOwned::ScmRights(fds) = item {
                            self.fds.extend(sys::adopt(fds));
                        }
                    }
                    message.bytes
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(_) => 0,
            };
            if count == 0 || self.input.len() > REQUEST_BYTES {
                self.closed = true;
                break;
            }
            self.input
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Sends a line; who does not read loses the connection.
    pub(super) fn send(&mut self, message: &impl Serialize) {
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        if self.stream.write_all(&line).is_err() {
            self.closed = true;
        }
    }
}
