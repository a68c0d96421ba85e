//! One client connection from its first byte to its last.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use aviary_http::frames::{Flood, FloodLimits};
use aviary_http::{RequestHead, Version};
use aviary_mesh::listener::Codec;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

use super::downstream::Downstream;
use super::ending::Ending;
use super::heads;
use super::http1::server::{Connection, Next};
use super::http2;
use super::http2::guarded::Guarded;
use super::http2::server::Refused;
use super::terms::Terms;
use super::timer::Timer;
use super::tunnel::Tunnel;
use crate::connection::Link;
use crate::forward::After;
use crate::record::Exchange;
use crate::request;
use crate::stream::Stream;

/// Heads that are too large after which a connection of HTTP/2 is ended: each costs as much as it
/// is large, and costs the client nothing.
const LARGE_HEADS: u32 = 4;

/// A connection on which no request comes for this long gives its memory back.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last word to a client that sends too much of something must go out in this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves HTTP/1 or, after its preface, HTTP/2 until the client is done, or the proxy drains and
/// the requests under way are answered.
pub(crate) async fn serve(link: Rc<Link>, stream: Stream) {
    let Some(terms) = terms(&link) else { return };
    let mut requests = 0;
    let mut connection = Connection::new(stream);
    let mut head = None;
    let worker = Rc::clone(&link.worker);
    let word = pin!(worker.quiet_end().cancelled());
    let mut ending = Ending::new(word, worker.quiet_ended());
    let mut come = None;
    loop {
        let next = match come.take() {
            Some(next) => next,
            None => connection.next(&mut head, &terms, &mut ending, None).await,
        };
        match next {
            Ok(Next::Request) if terms.codec == Codec::Http2 => return,
            Ok(Next::Request) => {}
            Ok(Next::Http2) if terms.codec == Codec::Http1 => {
                let error = aviary_http::Error::BadVersion;
                return Box::pin(refuse(&link, connection, error.status(), error.detail())).await;
            }
            Ok(Next::Http2) => {
                return Box::pin(turn_to_http2(link, connection, terms)).await;
            }
            Ok(Next::Quiet) => continue,
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
        let mut open = Open {
            link: &link,
            connection: &mut connection,
            head: &mut head,
            terms: &terms,
            requests: &mut requests,
        };
        // Apart from the connection, so that one that has waited for a while is small.
        match Box::pin(open.answer(&mut ending)).await {
            Then::Next(next) => come = Some(next),
            Then::End => return Box::pin(connection.finish()).await,
            Then::Tunnel(tunnel, exchange, head) => {
                return Box::pin(turn_to_tunnel(tunnel, exchange, connection, &head)).await;
            }
        }
    }
}

/// What follows on a connection of HTTP/1 after its requests were answered.
enum Then {
    /// This.
    Next(io::Result<Next>),
    /// It ends.
    End,
    /// It becomes something else.
    Tunnel(Box<Tunnel>, Box<Exchange>, Box<RequestHead>),
}

/// A connection of HTTP/1 on which a request came.
struct Open<'a> {
    link: &'a Rc<Link>,
    connection: &'a mut Connection,
    head: &'a mut Option<Box<RequestHead>>,
    terms: &'a Terms,
    requests: &'a mut u32,
}

impl Open<'_> {
    /// Answers requests for as long as they come without a long pause.
    async fn answer(&mut self, ending: &mut Ending<'_, impl Future<Output = ()>>) -> Then {
        while let Some(mut head) = self.head.take() {
            let version = head.version();
            *self.requests += 1;
            if self.terms.is_last(*self.requests) {
                self.connection.close_after();
            }
            let mut down = Downstream::Http1(self.connection, version);
            match request::handle(self.link, &mut head, &mut down).await {
                After::Over => heads::give(head),
                After::Tunnel(tunnel, exchange) => return Then::Tunnel(tunnel, exchange, head),
            }
            if !self.connection.is_reusable() {
                return Then::End;
            }
            let next = self
                .connection
                .next(self.head, self.terms, ending, Some(PATIENCE));
            match next.await {
                Ok(Next::Request) if self.terms.codec != Codec::Http2 => {}
                other => return Then::Next(other),
            }
        }
        Then::End
    }
}

/// The terms of a connection that begins now; `None` when its chain is gone.
fn terms(link: &Link) -> Option<Terms> {
    let identity = link.identify()?;
    identity.http().map(Terms::of)
}

/// Goes on with the bytes that were read as HTTP/2.
async fn turn_to_http2(link: Rc<Link>, connection: Connection, terms: Terms) {
    let Ok((mut stream, input)) = connection.into_parts().await else {
        return;
    };
    stream.unread(input.data());
    drop(input);
    serve_http2(link, stream, terms).await;
}

/// Goes on as what both sides agreed on.
async fn turn_to_tunnel(
    tunnel: Box<Tunnel>,
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

async fn serve_http2(link: Rc<Link>, stream: Stream, terms: Terms) {
    let worker = Rc::clone(&link.worker);
    let word = pin!(worker.drain().cancelled());
    let mut ending = Ending::new(word, worker.draining());
    let (guarded, alarm) = Guarded::new(stream, &FloodLimits::of_client());
    let Some(mut connection) = greet(&link, guarded, &terms).await else {
        return;
    };
    let mut timer = Timer::default();
    let open = Rc::new(Cell::new(0_usize));
    let (mut draining, mut requests, mut large) = (false, 0, 0);
    // With nothing open it ends then; while something is, that moves away.
    let mut end = terms.wait();
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
            if draining {
                return Poll::Pending;
            }
            if open.get() > 0 {
                end = terms.wait();
            }
            ready!(timer.poll(cx, end));
            if open.get() == 0 || terms.is_last(requests) {
                return Poll::Ready(Accepted::End);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        match accepted {
            Accepted::Next(Some(Ok((request, respond)))) => {
                requests += 1;
                end = terms.wait();
                if !take(&link, request, respond, &terms, &open) {
                    large += 1;
                    // Others have their turn, whatever it was that cost so much.
                    tokio::task::yield_now().await;
                }
                if large > LARGE_HEADS {
                    tracing::info!(remote = %link.remote, "client connection ended: large heads");
                    return farewell(connection).await;
                }
                if !draining && terms.is_last(requests) {
                    draining = true;
                    connection.graceful_shutdown();
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
                return farewell(connection).await;
            }
        }
    }
}

/// Shakes hands.
async fn greet(
    link: &Link,
    stream: Guarded,
    terms: &Terms,
) -> Option<h2::server::Connection<Guarded, Bytes>> {
    let handshake = http2::server::builder(terms).handshake(stream);
    let shaken = tokio::time::timeout(terms.head, handshake).await.ok()?;
    shaken
        .inspect_err(|error| {
            tracing::debug!(remote = %link.remote, %error, "client connection broke");
        })
        .ok()
}

/// Takes a request; `false` when its head is too large.
fn take(
    link: &Rc<Link>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    terms: &Terms,
    open: &Rc<Cell<usize>>,
) -> bool {
    match http2::server::Stream::accept(request, respond, &terms.limits) {
        Ok((head, stream)) => answer(link, head, stream, open),
        Err(Refused::Reset(error)) => {
            tracing::debug!(remote = %link.remote, %error, "stream refused");
        }
        Err(Refused::TooLarge(error, stream)) => {
            answer_large(link, error, stream);
            return false;
        }
    }
    true
}

/// Ends a connection whose client sends too much, with a last word.
async fn farewell(mut connection: h2::server::Connection<Guarded, Bytes>) {
    connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
    let rest = async { while let Some(Ok(_)) = connection.accept().await {} };
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

/// Answers a request whose head is too large.
fn answer_large(link: &Rc<Link>, error: aviary_http::Error, stream: Box<http2::server::Stream>) {
    let link = Rc::clone(link);
    let worker = Rc::clone(&link.worker);
    worker.spawn(async move {
        let mut down = Downstream::Http2(stream, Timer::default());
        request::refuse(&link, error.status(), error.detail(), &mut down).await;
    });
}

/// What the codec gives next.
type Given = Option<Result<(http::Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// What comes next on an HTTP/2 connection.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made"
)]
enum Accepted {
    /// What the codec has.
    Next(Given),
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
