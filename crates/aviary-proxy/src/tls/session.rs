//! An encrypted connection on a socket.
//!
//! It drives rustls without buffers of its own: bytes are decrypted and encrypted in buffers of the
//! thread, and a connection keeps only what is left over (a record that is not complete, bytes that
//! were not read yet, records that the socket did not take). An idle connection keeps nothing.

mod records;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::Peer;
use super::peer;
use records::{Drive as _, Progress};

/// Most bytes that one read takes from the socket: four records.
const READ: usize = 64 << 10;
/// Fewest, so that a small buffer of the caller does not make many small reads.
const READ_LEAST: usize = 4 << 10;
/// Most bytes that one write encrypts: four records.
const WRITE: usize = 64 << 10;
/// A record with everything around it is at most this much longer than what is in it.
const RECORD_OVERHEAD: usize = 256 + 5;

thread_local! {
    /// Encrypted bytes from the socket, decrypted in place.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ + (18 << 10)]);
    /// Bytes from several places that go into one record.
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE));
    /// Encrypted bytes for the socket.
    static OUTGOING: RefCell<Vec<u8>> = RefCell::new(vec![0; WRITE + 5 * RECORD_OVERHEAD]);
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Side {
    fn drive(
        &mut self,
        input: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<Progress, rustls::Error> {
        match self {
            Self::Client(connection) => connection.drive(input, plain, out),
            Self::Server(connection) => connection.drive(input, plain, out),
        }
    }

    fn encrypt(&mut self, partial: &mut [u8], bytes: &[u8], out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Client(connection) => connection.encrypt(partial, bytes, out),
            Self::Server(connection) => connection.encrypt(partial, bytes, out),
        }
    }

    fn close(&mut self, partial: &mut [u8], out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Client(connection) => connection.close(partial, out),
            Self::Server(connection) => connection.close(partial, out),
        }
    }
}

/// Bytes that are used up from the front.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    used: usize,
}

impl Rest {
    fn get(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }

    fn use_up(&mut self, count: usize) {
        self.used += count;
        if self.is_empty() {
            // An idle connection keeps no buffer.
            *self = Self::default();
        }
    }
}

/// One side of an encrypted connection.
pub(crate) struct Session {
    tcp: TcpStream,
    side: Side,
    peer: Rc<Peer>,
    /// Encrypted bytes that make no complete record yet.
    partial: Vec<u8>,
    /// Decrypted bytes that were not read yet.
    plain: Rest,
    /// Encrypted bytes that the socket did not take yet.
    unsent: Rest,
    established: bool,
    /// The other side said that it sends nothing more.
    ended: bool,
    /// We said that.
    closed: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("tcp", &self.tcp)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The server's side, with the bytes that were read already.
    pub(super) fn server(
        tcp: TcpStream,
        connection: UnbufferedServerConnection,
        seen: &[u8],
    ) -> Self {
        Self::new(tcp, Side::Server(connection), seen.to_vec())
    }

    /// The client's side.
    pub(super) fn client(tcp: TcpStream, connection: UnbufferedClientConnection) -> Self {
        Self::new(tcp, Side::Client(connection), Vec::new())
    }

    fn new(tcp: TcpStream, side: Side, partial: Vec<u8>) -> Self {
        Self {
            tcp,
            side,
            peer: Rc::default(),
            partial,
            plain: Rest::default(),
            unsent: Rest::default(),
            established: false,
            ended: false,
            closed: false,
        }
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Who the other side is.
    pub(crate) fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }

    /// Goes on with the handshake until it is over.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = std::mem::take(&mut self.partial);
        let mut result = self.take_in(&mut bytes, None);
        loop {
            // What was made before an error, an alert above all, goes out all the same.
            match self.poll_unsent(cx) {
                Poll::Pending if result.is_ok() => return Poll::Pending,
                Poll::Ready(Err(error)) if result.is_ok() => return Poll::Ready(Err(error)),
                _ => {}
            }
            result?;
            if self.established {
                return Poll::Ready(Ok(()));
            }
            result = ready!(self.poll_take_in(cx, READ_LEAST, None));
            if self.ended && result.is_ok() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Learns who the other side is, once the handshake is over.
    ///
    /// # Errors
    /// When its certificate is of a session that went on, and not valid any more.
    pub(super) fn meet_peer(
        &mut self,
        server_name: Option<Box<str>>,
        own: Option<Arc<str>>,
    ) -> io::Result<()> {
        let state: &rustls::CommonState = match &self.side {
            Side::Client(connection) => connection,
            Side::Server(connection) => connection,
        };
        let leaf = state.peer_certificates().and_then(|chain| chain.first());
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let subject = leaf.map(peer::subject).transpose().map_err(invalid)?;
        let resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
        // Full handshakes have been judged by the clock already.
        if resumed
            && let Some(subject) = &subject
            && !subject.is_valid_at(wall_clock())
        {
            let expired = rustls::CertificateError::Expired;
            return Err(invalid(rustls::Error::InvalidCertificate(expired)));
        }
        self.peer = Rc::new(Peer {
            server_name: server_name.map(Arc::from),
            digest: leaf.map(|leaf| peer::digest(leaf)),
            identity: subject.as_ref().and_then(peer::identity),
            own,
            version: peer::version_text(state.protocol_version()),
            cipher: state
                .negotiated_cipher_suite()
                .map_or("", |suite| peer::cipher_text(suite.suite())),
            agreed_http2: state.alpn_protocol() == Some(b"h2"),
            subject: subject.map(Box::new),
        });
        Ok(())
    }

    /// Decrypts `input`. What is read goes to `target` as far as it has room.
    fn take_in(
        &mut self,
        input: &mut [u8],
        mut target: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<()> {
        let plain = &mut self.plain;
        let mut keep = |mut bytes: &[u8]| {
            if let Some(target) = &mut target
                && plain.is_empty()
            {
                let (now, later) = bytes.split_at(bytes.len().min(target.remaining()));
                target.put_slice(now);
                bytes = later;
            }
            plain.bytes.extend_from_slice(bytes);
        };
        let result = self.side.drive(input, &mut keep, &mut self.unsent.bytes);
        let progress = result.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.partial.clear();
        self.partial.extend_from_slice(&input[progress.used..]);
        self.established |= progress.established;
        self.ended |= progress.ended;
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Ok(())
    }

    /// Reads what the socket has, about `wanted` bytes, and decrypts it.
    fn poll_take_in(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        target: Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<()>> {
        INCOMING.with_borrow_mut(|incoming| {
            let kept = self.partial.len();
            let wanted = (wanted + RECORD_OVERHEAD).clamp(READ_LEAST, READ);
            if incoming.len() < kept + READ_LEAST {
                incoming.resize(kept + READ_LEAST, 0);
            }
            let end = incoming.len().min(kept + wanted);
            let mut buffer = ReadBuf::new(&mut incoming[kept..end]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            let count = buffer.filled().len();
            Poll::Ready(self.came(&mut incoming[..kept + count], count, target))
        })
    }

    /// Takes `count` new bytes at the end of `incoming`, after room for the incomplete record.
    fn came(
        &mut self,
        incoming: &mut [u8],
        count: usize,
        target: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<()> {
        if count == 0 {
            let gone = self.ended || !self.established;
            self.ended = true;
            // Without the word that it is the end, bytes may be missing.
            return if gone {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        incoming[..self.partial.len()].copy_from_slice(&self.partial);
        self.take_in(incoming, target)
    }

    /// Reads decrypted bytes; none at the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.plain.is_empty() {
            let count = self.plain.get().len().min(buf.remaining());
            buf.put_slice(&self.plain.get()[..count]);
            self.plain.use_up(count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        while buf.filled().len() == before && !self.ended && buf.remaining() > 0 {
            if !self.unsent.is_empty() {
                // Whoever waits for an answer wants the question to be sent.
                let _ = self.poll_unsent(cx)?;
            }
            ready!(self.poll_take_in(cx, buf.remaining(), Some(buf)))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when a read may give something.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.plain.is_empty() || self.ended {
            return Poll::Ready(Ok(()));
        }
        if !self.unsent.is_empty() {
            let _ = self.poll_unsent(cx)?;
        }
        self.tcp.poll_read_ready(cx)
    }

    /// Whether nothing came but what TLS says on its own account, e.g. tickets.
    pub(crate) fn is_quiet(&mut self) -> bool {
        while self.plain.is_empty() && !self.ended {
            let came = INCOMING.with_borrow_mut(|incoming| {
                let kept = self.partial.len();
                let Some(room) = incoming.get_mut(kept..) else {
                    return false;
                };
                match self.tcp.try_read(room) {
                    Ok(count) => self
                        .came(&mut incoming[..kept + count], count, None)
                        .is_ok(),
                    Err(_) => false,
                }
            });
            if !came {
                break;
            }
        }
        // What is left is the state of the socket: an error or an end has been seen above.
        self.plain.is_empty() && !self.ended && self.waits()
    }

    fn waits(&self) -> bool {
        let result = self.tcp.try_read(&mut []);
        matches!(result, Ok(0))
            || matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Encrypts and sends; the number of bytes taken, which may be on their way when this returns.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        let mut full = bufs.iter().filter(|buf| !buf.is_empty());
        let (Some(first), second) = (full.next(), full.next()) else {
            return Poll::Ready(Ok(0));
        };
        if second.is_none() || first.len() >= WRITE {
            return self.write_one(cx, &first[..first.len().min(WRITE)]);
        }
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for buf in bufs {
                let room = WRITE - gathered.len();
                gathered.extend_from_slice(&buf[..buf.len().min(room)]);
            }
            self.write_one(cx, gathered)
        })
    }

    fn write_one(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        OUTGOING.with_borrow_mut(|outgoing| {
            let length = self.side.encrypt(&mut self.partial, bytes, outgoing)?;
            self.send(cx, &outgoing[..length])?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Sends as much of `bytes` as the socket takes and keeps the rest.
    fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while self.unsent.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut self.tcp).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.unsent.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is left.
    pub(crate) fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let count = ready!(Pin::new(&mut self.tcp).poll_write(cx, self.unsent.get()))?;
            self.unsent.use_up(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more is sent, and ends that half of the connection.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            let mut alert = [0; 512];
            let length = self.side.close(&mut self.partial, &mut alert)?;
            self.unsent.bytes.extend_from_slice(&alert[..length]);
        }
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Seconds since 1970.
fn wall_clock() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
