//! One client connection from its first byte to its last.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use aviary_http::frames::{Flood, FloodLimits};
use aviary_http::{RequestHead, Version};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::time::Instant;

use super::downstream::Downstream;
use super::ending::Ending;
use super::heads;
use super::http1::server::{Connection, HEAD_TIMEOUT, Next};
use super::http2;
use super::http2::guarded::Guarded;
use super::http2::server::Refused;
use super::timer::Timer;
use super::tunnel::Tunnel;
use crate::connection::Link;
use crate::forward::After;
use crate::record::Exchange;
use crate::request;
use crate::stream::Stream;

/// A connection without a request is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// HTTP/2 streams that one client may have open on a connection: inside the mesh, and at an edge.
const STREAM_LIMIT: u32 = 1000;
const EDGE_STREAM_LIMIT: u32 = 100;

/// Requests of one connection whose head is too large: each costs more than it took to send.
const TOO_LARGE_LIMIT: u32 = 4;

/// The last word to a client that sends too much of something must go out in this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves HTTP/1 or, after its preface, HTTP/2 until the client is done, or the proxy drains and
/// the requests under way are answered.
pub(crate) async fn serve(link: Rc<Link>, stream: Stream) {
    let mut connection = Connection::new(stream);
    let mut next = None;
    let worker = Rc::clone(&link.worker);
    let word = pin!(worker.quiet_end().cancelled());
    let mut ending = Ending::new(word, worker.quiet_ended());
    loop {
        match connection.next(&mut next, IDLE_TIMEOUT, &mut ending).await {
            Ok(Next::Request) => {}
            Ok(Next::Http2) => {
                return Box::pin(turn_to_http2(link, connection)).await;
            }
            Ok(Next::Closed) => return,
            Ok(Next::Refused(error)) => {
                return Box::pin(refuse(&link, connection, error.status(), error.detail())).await;
            }
            Ok(Next::TimedOut) => {
                return Box::pin(refuse(&link, connection, 408, "request_header_timeout")).await;
            }
            Err(error) => {
                tracing::debug!(remote = %link.remote, %error, "client connection broke");
                return;
            }
        }
        let Some(mut head) = next.take() else { return };
        let version = head.version();
        let mut down = Downstream::Http1(&mut connection, version);
        // Apart from the connection, so that one that waits is small.
        let after = Box::pin(request::handle(&link, &mut head, &mut down)).await;
        if let After::Tunnel(tunnel, exchange) = after {
            return Box::pin(turn_to_tunnel(tunnel, exchange, connection, &head)).await;
        }
        heads::give(head);
        if !connection.is_reusable() {
            return Box::pin(connection.finish()).await;
        }
    }
}

/// Goes on with the bytes that were read as HTTP/2.
async fn turn_to_http2(link: Rc<Link>, connection: Connection) {
    let Ok((mut stream, input)) = connection.into_parts().await else {
        return;
    };
    stream.unread(input.data());
    drop(input);
    serve_http2(link, stream).await;
}

/// Goes on as what both sides agreed on.
async fn turn_to_tunnel(
    tunnel: Tunnel,
    mut exchange: Box<Exchange>,
    connection: Connection,
    head: &RequestHead,
) {
    if let Ok((stream, input)) = connection.into_parts().await {
        (exchange.received, exchange.sent) = tunnel.run(stream, input).await;
        exchange.complete();
    }
    exchange.over(head);
}

/// Answers what is no request, and ends the connection.
async fn refuse(link: &Rc<Link>, mut connection: Connection, status: u16, details: &'static str) {
    let mut down = Downstream::Http1(&mut connection, Version::Http11);
    request::refuse(link, status, details, &mut down).await;
    connection.finish().await;
}

async fn serve_http2(link: Rc<Link>, stream: Stream) {
    let worker = Rc::clone(&link.worker);
    let word = pin!(worker.drain().cancelled());
    let mut ending = Ending::new(word, worker.draining());
    let edge = link.identify().is_some_and(|identity| {
        identity
            .http()
            .is_some_and(|chain| chain.use_remote_address)
    });
    let streams = if edge {
        EDGE_STREAM_LIMIT
    } else {
        STREAM_LIMIT
    };
    let (guarded, alarm) = Guarded::new(stream, &FloodLimits::of_client());
    let handshake = http2::server::builder(streams).handshake(guarded);
    let mut connection = match tokio::time::timeout(HEAD_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(remote = %link.remote, %error, "client connection broke");
            return;
        }
        Err(_) => return,
    };
    let mut draining = false;
    let mut timer = Timer::default();
    let open = Rc::new(Cell::new(0_usize));
    let mut idle_since = Instant::now();
    let mut too_large = 0;
    loop {
        let accepted = poll_fn(|cx| {
            if let Poll::Ready(accepted) = connection.poll_accept(cx) {
                return Poll::Ready(Accepted::Next(accepted));
            }
            if let Some(flood) = alarm.raised() {
                return Poll::Ready(Accepted::Flood(flood));
            }
            if !draining && ending.poll(cx) {
                return Poll::Ready(Accepted::End);
            }
            if open.get() > 0 {
                idle_since = Instant::now();
            }
            match timer.poll(cx, idle_since + IDLE_TIMEOUT) {
                Poll::Ready(()) if open.get() == 0 => Poll::Ready(Accepted::End),
                Poll::Ready(()) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match accepted {
            Accepted::Next(Some(Ok((request, respond)))) => {
                idle_since = Instant::now();
                match http2::server::Stream::accept(request, respond) {
                    Ok((head, stream)) => answer(&link, head, stream, &open),
                    Err(Refused::Reset(error)) => {
                        tracing::debug!(remote = %link.remote, %error, "stream refused");
                    }
                    Err(Refused::TooLarge(error, stream)) => {
                        too_large += 1;
                        if too_large > TOO_LARGE_LIMIT {
                            alarm.raise(Flood::HeadBytes);
                        }
                        refuse_stream(&link, error, stream);
                    }
                }
            }
            Accepted::Next(Some(Err(error))) => {
                tracing::debug!(remote = %link.remote, %error, "client connection broke");
                return;
            }
            Accepted::Next(None) => return,
            Accepted::End => {
                draining = true;
                connection.graceful_shutdown();
            }
            Accepted::Flood(flood) => {
                tracing::info!(remote = %link.remote, reason = flood.detail(), "client connection ended");
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                let farewell = async { while let Some(Ok(_)) = connection.accept().await {} };
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
                return;
            }
        }
    }
}

/// Answers a request whose head is too large.
fn refuse_stream(link: &Rc<Link>, error: aviary_http::Error, stream: Box<http2::server::Stream>) {
    let link = Rc::clone(link);
    let worker = Rc::clone(&link.worker);
    worker.spawn(async move {
        let mut down = Downstream::Http2(stream, Timer::default());
        request::refuse(&link, error.status(), error.detail(), &mut down).await;
    });
}

/// What comes next on an HTTP/2 connection.
enum Accepted {
    /// What the codec has.
    Next(Option<Result<(http::Request<RecvStream>, SendResponse<Bytes>), h2::Error>>),
    /// No more streams are to be taken.
    End,
    /// The client sends too much of something.
    Flood(Flood),
}

/// Answers one request on its own.
fn answer(
    link: &Rc<Link>,
    mut head: RequestHead,
    stream: http2::server::Stream,
    open: &Rc<Cell<usize>>,
) {
    open.set(open.get() + 1);
    let (link, open) = (Rc::clone(link), Rc::clone(open));
    let worker = Rc::clone(&link.worker);
    worker.spawn(async move {
        let mut down = Downstream::Http2(Box::new(stream), Timer::default());
        // A tunnel is of HTTP/1 only.
        request::handle(&link, &mut head, &mut down).await;
        open.set(open.get() - 1);
    });
}
