//! Passing bytes between a client and one endpoint, each direction to its own end.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aviary_mesh::balance::Avoid;
use aviary_mesh::circuit::Resource;
use aviary_mesh::listener::{Direction, TcpChain};
use aviary_mesh::outlier::Outcome;
use aviary_telemetry::{Flags, Protocol};
use rand::RngCore as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::connection::Link;
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::socket;
use crate::stream::Stream;
use crate::upstream::{Permit, Upstream, count, words};

/// Bytes on their way in each direction.
const BUFFER: usize = 64 << 10;

/// Bytes are told to the metrics this often, and idleness is looked at.
const TICK: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(link: &Link, chain: &TcpChain, mut client: Stream) {
    let worker = &link.worker;
    let mut exchange = Exchange::begin(
        worker,
        chain.direction,
        Protocol::Tcp,
        !chain.access_log.is_empty(),
    );
    let branch = worker.random(|rng| chain.branch(rng.next_u64()));
    let cluster = branch.map_or("", |branch| branch.cluster.as_str());
    exchange.goes_to(cluster);
    exchange.came(link.remote, link.destination);
    if chain.direction == Direction::Inbound {
        exchange.source = worker
            .snapshot()
            .workload(link.remote.ip())
            .cloned()
            .unwrap_or_default();
    }
    match connect(link, cluster, &mut exchange).await {
        Ok((mut endpoint, _permit)) => {
            exchange.tell_tcp(false);
            pass(
                &mut client,
                &mut endpoint,
                chain.idle_timeout,
                &mut exchange,
            )
            .await;
        }
        Err(reply) => {
            tracing::debug!(%cluster, details = %reply.details, "no connection");
            exchange.note(&reply);
            exchange.code = 0;
        }
    }
    exchange.complete();
}

async fn connect(
    link: &Link,
    cluster: &str,
    exchange: &mut Exchange,
) -> Result<(TcpStream, Permit), Reply> {
    let worker = &link.worker;
    let upstream: Rc<Upstream> = worker
        .upstreams()
        .get(cluster)
        .ok_or_else(Reply::no_cluster)?;
    exchange.service = upstream.service();
    // Going where the client already is would come back here for ever.
    let destination = (!link.direct).then_some(link.destination);
    let choice = worker
        .random(|rng| upstream.pick(destination, Avoid::default(), worker.now(), rng))
        .ok_or_else(Reply::no_endpoint)?;
    let address = choice.host.address();
    exchange.chose(&choice);
    let permit = upstream
        .acquire(Resource::Connection)
        .ok_or_else(|| Reply::reset(&Reset::Overflow, false))?;
    count(&upstream.counters.connects);
    let policy = upstream.policy();
    let connecting = socket::connect(address, policy.source_address, worker.marks());
    let reset = match tokio::time::timeout(policy.connect_timeout, connecting).await {
        Ok(Ok(stream)) => {
            exchange.connected(stream.local_addr().ok());
            return Ok((stream, permit));
        }
        Ok(Err(error)) => Reset::Connect(words(&error)),
        Err(_) => Reset::ConnectTimeout,
    };
    count(&upstream.counters.connect_failures);
    upstream.on_outcome(address, Outcome::ConnectionFailed, worker.now());
    Err(Reply::reset(&reset, false))
}

/// Copies both ways until both have ended, or nothing moved for `idle_timeout`.
async fn pass(
    client: &mut Stream,
    endpoint: &mut TcpStream,
    idle_timeout: Option<Duration>,
    exchange: &mut Exchange,
) {
    let (received, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut client = Metered {
        io: client,
        read: Rc::clone(&received),
    };
    let mut endpoint = Metered {
        io: endpoint,
        read: Rc::clone(&sent),
    };
    let copy = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut endpoint, BUFFER, BUFFER);
    let mut copy = std::pin::pin!(copy);
    let period = idle_timeout.map_or(TICK, |idle| idle.min(TICK));
    let mut tick = tokio::time::interval(period);
    let (mut moved, mut still) = (0, Duration::ZERO);
    loop {
        tokio::select! {
            result = &mut copy => {
                (exchange.received, exchange.sent) = (received.get(), sent.get());
                if let Err(error) = result {
                    tracing::debug!(%error, "connection broke");
                }
                return;
            }
            _ = tick.tick() => {
                (exchange.received, exchange.sent) = (received.get(), sent.get());
                exchange.tell_tcp(false);
                let total = exchange.sent + exchange.received;
                still = if total == moved { still + period } else { Duration::ZERO };
                moved = total;
                if idle_timeout.is_some_and(|idle| still > idle) {
                    exchange.flag(Flags::STREAM_IDLE_TIMEOUT);
                    return;
                }
            }
        }
    }
}

/// A connection whose read bytes are counted.
struct Metered<'a, S> {
    io: &'a mut S,
    read: Rc<Cell<u64>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.io).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        self.read.set(self.read.get() + count as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}
