//! Sockets with the options that a proxy needs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Mark on the sidecar's own connections; the redirection rules let it pass.
pub(crate) const MARK: u32 = 1337;

/// Connections that wait to be accepted, per listener.
const BACKLOG: i32 = 4096;

/// Probes of an idle connection begin after this long.
const KEEPALIVE: Duration = Duration::from_mins(5);

static MARK_REFUSED: AtomicBool = AtomicBool::new(false);

/// Opens a listening socket.
///
/// # Errors
/// The system's, e.g. address in use.
pub(crate) fn listen(address: SocketAddr, one_of_many: bool) -> io::Result<TcpListener> {
    let socket = bind(address, one_of_many)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether somebody listens at an address already, without letting a client in meanwhile.
///
/// # Errors
/// The system's, e.g. address in use.
pub(crate) fn try_bind(address: SocketAddr) -> io::Result<()> {
    bind(address, false).map(drop)
}

fn bind(address: SocketAddr, one_of_many: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if one_of_many {
        socket.set_reuse_port(true)?;
    }
    // What is accepted has these options from the start, without a call for each.
    tune(&SockRef::from(&socket));
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listening socket made by somebody else, who may have let only a few connections wait: those
/// over that are dropped without a word, and their clients wait for seconds before they try again.
///
/// # Errors
/// The system's.
pub(crate) fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    let options = SockRef::from(&socket);
    tune(&options);
    // Source: listen(2) on a socket that listens changes the length of its queue.
    options.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Connects to `address`, from `source` when given, with the sidecar's mark when `marked`.
///
/// # Errors
/// The system's; without the right to set marks the connection is made unmarked, said once.
pub(crate) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    marked: bool,
) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    if marked
        && let Err(error) = socket.set_mark(MARK)
        && !MARK_REFUSED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%error, "cannot mark connections; redirected traffic would loop");
    }
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(address)
        .await?;
    tune(&SockRef::from(&stream));
    Ok(stream)
}

/// Sets how the kernel probes an idle connection; what is not said is the kernel's.
pub(crate) fn probe(stream: &TcpStream, wanted: &aviary_mesh::listener::TcpKeepalive) {
    let seconds = |it: u32| Duration::from_secs(it.into());
    let mut keepalive = TcpKeepalive::new();
    if let Some(time) = wanted.time_seconds {
        keepalive = keepalive.with_time(seconds(time));
    }
    if let Some(interval) = wanted.interval_seconds {
        keepalive = keepalive.with_interval(seconds(interval));
    }
    if let Some(probes) = wanted.probes {
        keepalive = keepalive.with_retries(probes);
    }
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "a connection keeps its own probes");
    }
}

/// Sets what every connection has: no delay for small writes, probes when idle.
pub(crate) fn tune(socket: &SockRef<'_>) {
    // Best effort: a connection that was reset meanwhile refuses both, and fails at its first use.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// Where the client meant to go before it was redirected here; `None` when it was not.
pub(crate) fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = match stream.local_addr().ok()? {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    found.ok()?.as_socket()
}
