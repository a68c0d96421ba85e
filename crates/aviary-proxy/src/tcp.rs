//! Passing bytes between a client and one endpoint, each direction to its own end.

mod copy;

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use aviary_mesh::balance::Ask;
use aviary_mesh::circuit::Resource;
use aviary_mesh::listener::{Direction, TcpChain};
use aviary_mesh::outlier::Outcome;
use aviary_mesh::resolve::hash_address;
use aviary_telemetry::{Flags, Protocol};
use rand::RngCore as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::connection::{Identity, Link};
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::socket;
use crate::splice::{self, Counts};
use crate::stream::Stream;
use crate::upstream::{Permit, Upstream, count, words};

/// Bytes are told to the metrics this often, and idleness is looked at.
const TICK: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(crate) async fn serve(
    link: &Rc<Link>,
    identity: &Rc<Identity>,
    chain: &TcpChain,
    client: Stream,
) {
    let worker = &link.worker;
    let end = chain.max_duration.map(|limit| Instant::now() + limit);
    let mut exchange = Exchange::begin(link, identity, Protocol::Tcp);
    let branch = worker.random(|rng| chain.branch(rng.next_u64()));
    let cluster = branch.map_or("", |branch| branch.cluster.as_str());
    let upstream = worker.upstreams().get(cluster);
    exchange.goes_to(cluster, upstream.as_deref());
    if chain.direction == Direction::Inbound {
        exchange.source = worker
            .snapshot()
            .workload(link.remote.ip())
            .cloned()
            .unwrap_or_default();
    }
    match connect(link, upstream, chain.hash_source_ip, &mut exchange).await {
        Ok((endpoint, _permit)) => {
            exchange.tell_tcp(false);
            pass(client, endpoint, chain.idle_timeout, end, &mut exchange).await;
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
    upstream: Option<Rc<Upstream>>,
    by_source: bool,
    exchange: &mut Exchange,
) -> Result<(Stream, Permit), Reply> {
    let worker = &link.worker;
    let upstream = upstream.ok_or_else(|| Reply::no_cluster(0))?;
    // Going where the client already is would come back here for ever.
    let destination = (!link.direct).then_some(link.destination);
    let ask = Ask {
        hash: by_source.then(|| hash_address(link.remote.ip())),
        now: worker.now(),
        ..Ask::default()
    };
    let choice = worker
        .random(|rng| upstream.pick(destination, &ask, rng))
        .ok_or_else(Reply::no_endpoint)?;
    let address = choice.host.address();
    exchange.chose(&choice);
    let permit = upstream
        .acquire(Resource::Connection)
        .ok_or_else(|| Reply::reset(&Reset::Overflow, false))?;
    count(&upstream.counters.connects);
    let policy = upstream.policy();
    let connecting = async {
        let tcp = socket::connect(address, policy.source_address, worker.marks()).await?;
        if let Some(keepalive) = &policy.keepalive {
            socket::probe(&tcp, keepalive);
        }
        upstream.secure(worker, &choice.host, tcp, &[]).await
    };
    let reset = match tokio::time::timeout(policy.connect_timeout, connecting).await {
        Ok(Ok(stream)) => {
            exchange.meets(stream.tls(), || stream.local_addr().ok());
            return Ok((stream, permit));
        }
        Ok(Err(error)) => Reset::Connect(words(&error)),
        Err(_) => Reset::ConnectTimeout,
    };
    count(&upstream.counters.connect_failures);
    worker.random(|rng| {
        upstream.on_outcome(address, Outcome::ConnectionFailed, worker.now(), rng);
    });
    Err(Reply::reset(&reset, false))
}

/// Passes bytes both ways until both have ended, nothing moved for `idle_timeout`, or `end` came.
async fn pass(
    client: Stream,
    endpoint: Stream,
    idle_timeout: Option<Duration>,
    end: Option<Instant>,
    exchange: &mut Exchange,
) {
    let counts = Counts::default();
    let mut moving = pin!(move_all(client, endpoint, &counts));
    let period = idle_timeout.map_or(TICK, |idle| idle.min(TICK));
    let mut tick = tokio::time::interval(period);
    let (mut moved, mut still) = (0, Duration::ZERO);
    let mut over = pin!(tokio::time::sleep_until(end.unwrap_or_else(Instant::now)));
    loop {
        tokio::select! {
            () = &mut over, if end.is_some() => {
                (exchange.received, exchange.sent) = (counts.received.get(), counts.sent.get());
                exchange.flag(Flags::DURATION_TIMEOUT);
                return;
            }
            result = &mut moving => {
                (exchange.received, exchange.sent) = (counts.received.get(), counts.sent.get());
                if let Err(error) = result {
                    tracing::debug!(%error, "connection broke");
                }
                return;
            }
            _ = tick.tick() => {
                (exchange.received, exchange.sent) = (counts.received.get(), counts.sent.get());
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

/// Inside the kernel when nothing is encrypted, else through this process.
pub(crate) async fn move_all(
    mut client: Stream,
    mut endpoint: Stream,
    counts: &Counts,
) -> io::Result<()> {
    if client.tls().is_some() || endpoint.tls().is_some() {
        return copy::both(&mut client, &mut endpoint, counts).await;
    }
    let (client, seen) = client.into_plain()?;
    let (mut endpoint, _) = endpoint.into_plain()?;
    // What was looked at is little: it fits the socket.
    endpoint.write_all(&seen).await?;
    counts.received.set(seen.len() as u64);
    drop(seen);
    splice::both(&client, &endpoint, counts).await
}
