//! A connection as everything above it sees it: bytes in, bytes out, encrypted or not.
//!
//! Its first bytes may have been looked at already; they are given once more.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::{Peer, Session};

/// A connection of either side.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    /// Read by [`Stream::look`] and not given out yet.
    seen: BytesMut,
}

/// What carries the bytes.
#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<Session>),
}

impl Stream {
    /// A connection without encryption.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self {
            io: Io::Plain(tcp),
            seen: BytesMut::new(),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(session) => session.tcp(),
        }
    }

    /// An encrypted connection after its handshake.
    pub(crate) fn encrypted(session: Box<Session>) -> Self {
        Self {
            io: Io::Tls(session),
            seen: BytesMut::new(),
        }
    }

    /// The socket and the bytes that were looked at.
    ///
    /// # Errors
    /// When it is encrypted.
    pub(crate) fn into_plain(self) -> io::Result<(TcpStream, BytesMut)> {
        match self.io {
            Io::Plain(tcp) => Ok((tcp, self.seen)),
            Io::Tls(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The socket, when nothing is encrypted and nothing was read ahead.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Plain(tcp) if self.seen.is_empty() => Some(tcp),
            Io::Plain(_) | Io::Tls(_) => None,
        }
    }

    /// What the handshake said; `None` when nothing is encrypted.
    pub(crate) fn tls(&self) -> Option<&Rc<Peer>> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(session) => Some(session.peer()),
        }
    }

    /// Our end of the connection.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    /// The bytes looked at so far.
    pub(crate) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Puts bytes that were read back in front.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        let mut seen = BytesMut::with_capacity(bytes.len() + self.seen.len());
        seen.extend_from_slice(bytes);
        seen.extend_from_slice(&self.seen);
        self.seen = seen;
    }

    /// Waits for more bytes and keeps them; 0 at the end of the stream. Cancel safe.
    pub(crate) async fn look(&mut self) -> io::Result<usize> {
        match &mut self.io {
            Io::Plain(tcp) => tcp.read_buf(&mut self.seen).await,
            Io::Tls(session) => look_encrypted(session, &mut self.seen).await,
        }
    }

    /// Ready when a read would give bytes, the end or an error. It holds no buffer, so a
    /// connection that waits here costs none; a read after it may still find nothing yet.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.seen.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Plain(tcp) => tcp.poll_read_ready(cx),
            Io::Tls(session) => session.poll_readable(cx),
        }
    }

    /// Whether the system holds bytes for this connection, whatever the reactor knows of it.
    pub(crate) fn has_input(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(self.tcp(), &mut [0; 1], flags).is_ok_and(|(_, count)| count > 0)
    }

    /// Whether the other side neither sent anything nor ended the connection while it was not in
    /// use. Costs a system call only when the reactor saw an event. A byte that is found is
    /// lost: such a connection is not to be used again.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let would_block = |result: io::Result<usize>| matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.seen.is_empty()
            && match &mut self.io {
                Io::Plain(tcp) => would_block(tcp.try_read(&mut [0])),
                Io::Tls(session) => session.is_quiet(),
            }
    }
}

/// Most bytes that one look takes from an encrypted connection: a record.
const LOOK: usize = 16 << 10;

async fn look_encrypted(session: &mut Session, seen: &mut BytesMut) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let start = seen.len();
        seen.resize(start + LOOK, 0);
        let mut buffer = ReadBuf::new(&mut seen[start..]);
        let result = session.poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        seen.truncate(start + count);
        result.map_ok(|()| count)
    })
    .await
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return match &mut self.io {
                Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
                Io::Tls(session) => session.poll_read(cx, buf),
            };
        }
        let count = self.seen.len().min(buf.remaining());
        buf.put_slice(&self.seen[..count]);
        self.seen.advance(count);
        if self.seen.is_empty() {
            self.seen = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Io::Tls(session) => session.poll_write(cx, &[IoSlice::new(buf)]),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Io::Tls(session) => session.poll_write(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(session) => session.poll_unsent(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(session) => session.poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
