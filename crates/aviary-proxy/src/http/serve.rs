//! One client connection from its first byte to its last.

mod streams;

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use aviary_http::{RequestHead, Version};
use aviary_mesh::listener::Codec;

use super::downstream::Downstream;
use super::ending::Ending;
use super::heads;
use super::http1::server::{Connection, Next};
use super::terms::Terms;
use super::tunnel::Tunnel;
use crate::connection::Link;
use crate::forward::After;
use crate::record::Exchange;
use crate::request;
use crate::stream::Stream;

/// A connection on which no request comes for this long gives its memory back.
const PATIENCE: Duration = Duration::from_millis(250);

/// Serves HTTP/1 or, after its preface, HTTP/2 until the client is done, or the proxy drains and
/// the requests under way are answered.
///
/// No `async fn`: that would keep room for the stream beside the connection it became.
pub(crate) fn serve(link: Rc<Link>, stream: Stream) -> impl Future<Output = ()> {
    let mut connection = Connection::new(stream);
    async move {
        let Some(terms) = terms(&link) else { return };
        let mut requests = 0;
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
                    return Box::pin(refuse(&link, connection, error.status(), error.detail()))
                        .await;
                }
                Ok(Next::Http2) => {
                    // Apart, so that nothing of HTTP/1 stays with a connection of HTTP/2.
                    let Some(stream) = Box::pin(unread(connection)).await else {
                        return;
                    };
                    return Box::pin(streams::serve(link, stream, terms)).await;
                }
                Ok(Next::Quiet) => continue,
                Ok(Next::Closed) => return,
                Ok(Next::Refused(error)) => {
                    return Box::pin(refuse(&link, connection, error.status(), error.detail()))
                        .await;
                }
                Ok(Next::TimedOut) => {
                    return Box::pin(refuse(&link, connection, 408, "request_header_timeout"))
                        .await;
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

/// The socket with what was read from it put back.
async fn unread(connection: Connection) -> Option<Stream> {
    let (mut stream, input) = connection.into_parts().await.ok()?;
    stream.unread(input.data());
    Some(stream)
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
