//! The body of a request: on its way, or kept for another try.

use std::future::poll_fn;
use std::task::{Context, Poll};

use aviary_http::Fields;
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::clock::{Clock, Doing};
use crate::http::body::{Error, Fill, Kept, Side, Sink, Source, poll_move};
use crate::http::downstream::Downstream;
use crate::reply::Reply;

/// Bodies up to this size are kept for a second try or a mirror, in bytes.
pub(super) const KEEP_LIMIT: usize = 64 << 10;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// What was read ahead, for every try.
    kept: Bytes,
    /// What of it this try has not sent.
    ahead: Kept,
    /// More comes from the client after it.
    streams: bool,
    /// What goes out is kept for another try, as far as the limit.
    records: bool,
    recorded: BytesMut,
    /// What came behind it, for every try.
    trailers: Option<Fields>,
    /// Something that was not kept went out.
    spent: bool,
    /// Bytes that came from the client so far.
    pub(super) received: u64,
}

impl RequestBody {
    /// No bytes.
    pub(super) fn none() -> Self {
        Self {
            kept: Bytes::new(),
            ahead: Kept::default(),
            streams: false,
            records: false,
            recorded: BytesMut::new(),
            trailers: None,
            spent: false,
            received: 0,
        }
    }

    /// As it comes.
    pub(super) fn streamed() -> Self {
        Self {
            streams: true,
            ..Self::none()
        }
    }

    /// As it comes, and kept for another try as long as it is short. Nothing waits for more of it:
    /// whoever sends it may wait for an answer to what went out.
    pub(super) fn recorded() -> Self {
        Self {
            records: true,
            ..Self::streamed()
        }
    }

    /// Read to its end, or as far as is kept.
    ///
    /// # Errors
    /// When it breaks off or does not come in time.
    pub(super) async fn gather(
        down: &mut Downstream<'_>,
        clock: &mut Clock,
    ) -> Result<Self, Box<Reply>> {
        let mut kept = BytesMut::new();
        let mut streams = true;
        while streams && kept.len() < KEEP_LIMIT {
            let filled = poll_fn(|cx| {
                if let Poll::Ready(filled) = down.poll_fill(cx) {
                    return Poll::Ready(filled.map_err(|error| Box::new(broken(&error))));
                }
                let doing = Doing {
                    moved: kept.len() as u64,
                    requested: false,
                    awaits_client: down.is_http1(),
                };
                let late = clock.poll(cx, down.timer(), doing);
                late.map(|late| Err(Box::new(Reply::late(late, false))))
            });
            match filled.await? {
                Fill::End => streams = false,
                Fill::Data => {
                    let count = down.data().len();
                    kept.extend_from_slice(down.data());
                    down.consume(count);
                }
            }
        }
        let kept = kept.freeze();
        Ok(Self {
            ahead: Kept(kept.clone()),
            received: kept.len() as u64,
            kept,
            streams,
            ..Self::none()
        })
    }

    /// All of it, when it is kept as a whole.
    pub(super) fn whole(&self) -> Option<Bytes> {
        (!self.streams).then(|| self.kept.clone())
    }

    /// Whether more comes from the client while it is sent.
    pub(super) fn is_streamed(&self) -> bool {
        self.streams
    }

    /// Whether another try can have it too.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.spent
    }

    /// Begins it anew for another try.
    pub(super) fn rewind(&mut self) {
        if self.records {
            self.kept = Bytes::copy_from_slice(&self.recorded);
        }
        self.ahead = Kept(self.kept.clone());
    }

    /// Moves it on to `sink`; ready when all of it went out.
    pub(super) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Downstream<'_>,
        sink: &mut impl Sink,
    ) -> Poll<Result<(), Side>> {
        poll_move(cx, &mut Joined { body: self, down }, sink, &mut 0)
    }
}

/// The reply to a request whose body broke off.
fn broken(error: &Error) -> Reply {
    tracing::debug!(%error, "the request broke off");
    match error {
        Error::Protocol(error) => Reply::refused(*error),
        _ => Reply::gone(),
    }
}

/// What was read ahead, then what comes.
struct Joined<'a, 'b> {
    body: &'a mut RequestBody,
    down: &'a mut Downstream<'b>,
}

impl Joined<'_, '_> {
    /// `count` bytes of what comes go on now.
    fn passes(&mut self, count: usize) {
        let body = &mut *self.body;
        body.received += count as u64;
        if body.records && body.recorded.len() + count <= KEEP_LIMIT {
            let data = &self.down.data()[..count];
            body.recorded.extend_from_slice(data);
        } else if count > 0 {
            body.records = false;
            body.recorded = BytesMut::new();
            body.spent = true;
        }
    }
}

impl Source for Joined<'_, '_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        if !self.body.ahead.0.is_empty() {
            return Poll::Ready(Ok(Fill::Data));
        }
        if !self.body.streams {
            return Poll::Ready(Ok(Fill::End));
        }
        self.down.poll_fill(cx)
    }

    fn data(&self) -> &[u8] {
        if self.body.ahead.0.is_empty() {
            self.down.data()
        } else {
            self.body.ahead.data()
        }
    }

    fn consume(&mut self, count: usize) {
        if self.body.ahead.0.is_empty() {
            self.passes(count);
            self.down.consume(count);
        } else {
            self.body.ahead.consume(count);
        }
    }

    fn is_last(&self) -> bool {
        if self.body.ahead.0.is_empty() {
            self.down.is_last()
        } else {
            !self.body.streams
        }
    }

    fn trailers(&mut self) -> Option<Fields> {
        // What is kept as a whole had its end read already; its trailers are the client's still.
        let trailers = self.down.trailers();
        if trailers.is_some() {
            self.body.trailers = trailers;
        }
        self.body.trailers.clone()
    }

    fn direct(&mut self) -> Option<(&TcpStream, u64)> {
        if self.body.ahead.0.is_empty() && self.body.streams && !self.body.records {
            self.down.direct()
        } else {
            None
        }
    }

    fn took(&mut self, count: usize) {
        self.down.took(count);
        self.body.received += count as u64;
        self.body.spent = true;
    }
}
