//! A connection lent to one request: where its head and body go and its reply comes from.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use aviary_http::{Fields, Framing, Name, RequestHead, ResponseHead, Version};
use aviary_telemetry::recorder::GrpcStatus;
use tokio::net::TcpStream;

use super::Upstream;
use super::host::{Found, Host, Pooled};
use crate::http::body::{Error, Fill, Side, Sink, Source};
use crate::http::http2;
use crate::http::tunnel::Tunnel;
use crate::tls::Peer;
use crate::worker::Worker;

/// A connection lent to one request.
///
/// When it is dropped it goes back to its pool if its exchange is over, and is closed otherwise.
pub(crate) struct Lease {
    worker: Rc<Worker>,
    upstream: Rc<Upstream>,
    host: Rc<Host>,
    carrier: Carrier,
    grpc_status: GrpcStatus,
    /// The reply's trailers, where somebody wants them.
    trailers: Option<Box<Fields>>,
}

/// An HTTP/1 connection on its way back.
pub(super) struct Http1(pub(super) Box<Pooled>);

enum Carrier {
    Http1(Box<Pooled>),
    Http2(Box<http2::client::Stream>),
    /// It was taken out.
    Gone,
}

impl Lease {
    pub(super) fn new(
        worker: &Rc<Worker>,
        upstream: &Rc<Upstream>,
        host: &Rc<Host>,
        found: Found,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            upstream: Rc::clone(upstream),
            host: Rc::clone(host),
            carrier: match found {
                Found::Http1(pooled) => Carrier::Http1(pooled),
                Found::Http2(connection) => {
                    Carrier::Http2(Box::new(http2::client::Stream::new(connection)))
                }
            },
            grpc_status: GrpcStatus::NONE,
            trailers: None,
        }
    }

    /// Keeps the reply's trailers.
    pub(crate) fn keep_trailers(&mut self) {
        self.trailers = Some(Box::default());
    }

    /// The trailers that were kept.
    pub(crate) fn kept_trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    /// Who the endpoint is; `None` when nothing is encrypted.
    pub(crate) fn tls(&self) -> Option<&Rc<Peer>> {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.tls(),
            Carrier::Http2(stream) => stream.tls(),
            Carrier::Gone => None,
        }
    }

    /// What is spoken.
    pub(crate) fn protocol(&self) -> &'static str {
        match &self.carrier {
            Carrier::Http2(_) => Version::Http2.text(),
            Carrier::Http1(_) | Carrier::Gone => Version::Http11.text(),
        }
    }

    /// How gRPC ended, when the trailers said so.
    pub(crate) fn grpc_status(&self) -> GrpcStatus {
        self.grpc_status
    }

    /// Whether other requests were sent on it before, so that it may have been closed meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        matches!(&self.carrier, Carrier::Http1(pooled) if pooled.served > 1)
    }

    /// Our end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.local(),
            Carrier::Http2(stream) => stream.local(),
            Carrier::Gone => None,
        }
    }

    /// Begins a request; ready when its head is on its way.
    pub(crate) fn poll_start(
        &mut self,
        cx: &mut Context<'_>,
        head: &RequestHead,
        framing: Framing,
        upgrade: bool,
    ) -> Poll<Result<(), Error>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => {
                pooled.served += 1;
                pooled.connection.start(head, framing, upgrade);
                Poll::Ready(Ok(()))
            }
            Carrier::Http2(stream) => stream.poll_start(cx, head, framing.is_empty()),
            Carrier::Gone => Poll::Ready(Err(Error::Closed)),
        }
    }

    /// Waits for the head of the reply.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Error>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.poll_head(cx, head),
            Carrier::Http2(stream) => stream.poll_head(cx, head),
            Carrier::Gone => Poll::Ready(Err(Error::Closed)),
        }
    }

    /// Whether anything of the reply came.
    pub(crate) fn is_answered(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.is_answered(),
            Carrier::Http2(stream) => stream.is_answered(),
            Carrier::Gone => false,
        }
    }

    /// Bytes of the request's body that were taken from the client and are not out yet.
    pub(crate) fn behind(&self) -> usize {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.behind(),
            Carrier::Http2(_) | Carrier::Gone => 0,
        }
    }

    /// The socket with what was read from it, after a 101.
    pub(crate) fn into_tunnel(mut self) -> Option<Box<Tunnel>> {
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Http1(pooled) => {
                let (connection, open) = pooled.into_parts();
                let (stream, input) = connection.into_tunnel();
                Some(Box::new(Tunnel::new(stream, input, open)))
            }
            Carrier::Http2(_) | Carrier::Gone => None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Http1(pooled) => {
                let whole = pooled.connection.is_reusable();
                self.upstream
                    .take_back(&self.worker, &self.host, Http1(pooled), whole);
            }
            Carrier::Http2(mut stream) => {
                if !stream.is_over() {
                    stream.cancel();
                }
                drop(stream);
                let wear = self.upstream.wear(self.worker.recently());
                self.host.serve_waiting(wear);
            }
            Carrier::Gone => {}
        }
    }
}

impl Source for Lease {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.poll_fill(cx),
            Carrier::Http2(stream) => stream.poll_fill(cx),
            Carrier::Gone => Poll::Ready(Err(Error::Closed)),
        }
    }

    fn data(&self) -> &[u8] {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.data(),
            Carrier::Http2(stream) => stream.data(),
            Carrier::Gone => &[],
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.consume(count),
            Carrier::Http2(stream) => stream.consume(count),
            Carrier::Gone => {}
        }
    }

    fn is_last(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.is_last(),
            Carrier::Http2(stream) => stream.is_last(),
            Carrier::Gone => true,
        }
    }

    fn trailers(&mut self) -> Option<Fields> {
        let trailers = match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.trailers(),
            Carrier::Http2(stream) => stream.trailers(),
            Carrier::Gone => None,
        };
        if let Some(status) = trailers.as_ref().and_then(|t| t.get(Name::GrpcStatus)) {
            self.grpc_status = GrpcStatus::parse(status);
        }
        if let (Some(kept), Some(trailers)) = (&mut self.trailers, &trailers) {
            (**kept).clone_from(trailers);
        }
        trailers
    }

    fn direct(&mut self) -> Option<(&TcpStream, u64)> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.direct(),
            Carrier::Http2(_) | Carrier::Gone => None,
        }
    }

    fn took(&mut self, count: usize) {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.took(count),
            Carrier::Http2(_) | Carrier::Gone => {}
        }
    }
}

impl Sink for Lease {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.poll_send(cx, source),
            Carrier::Http2(stream) => stream.poll_send(cx, source),
            Carrier::Gone => Poll::Ready(Err(Error::Closed)),
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Option<Poll<Result<usize, Side>>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.poll_splice(cx, source),
            Carrier::Http2(_) | Carrier::Gone => None,
        }
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.end(trailers),
            Carrier::Http2(stream) => stream.end(trailers),
            Carrier::Gone => Err(Error::Closed),
        }
    }

    fn is_ended(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(pooled) => pooled.connection.is_ended(),
            Carrier::Http2(stream) => stream.is_ended(),
            Carrier::Gone => true,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.carrier {
            Carrier::Http1(pooled) => pooled.connection.poll_flush(cx),
            Carrier::Http2(stream) => stream.poll_flush(cx),
            Carrier::Gone => Poll::Ready(Err(Error::Closed)),
        }
    }
}
