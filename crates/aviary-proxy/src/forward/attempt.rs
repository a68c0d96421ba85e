//! One try at one endpoint.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use aviary_http::http2::Reason;
use aviary_http::{RequestHead, ResponseHead, Version};
use aviary_mesh::retry;
use aviary_telemetry::Flags;

use super::clock::{Doing, Late};
use super::{Course, Forward};
use crate::http::body::{Error, Fill, Side, Source as _, poll_move};
use crate::http::downstream::Downstream;
use crate::http::tunnel::Tunnel;
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::upstream::{Choice, ConnectError, Lease};

/// A pooled connection that turns out closed is replaced at most this often for one try: more than
/// once would be a retry that nobody asked for.
const STALE_LIMIT: u32 = 1;

/// A try without an answer.
pub(super) struct Broken {
    pub(super) outcome: retry::Outcome,
    pub(super) reply: Reply,
    pub(super) choice: Option<Choice>,
    /// No other try can help.
    pub(super) is_final: bool,
}

impl Broken {
    fn new(outcome: retry::Outcome, reply: Reply) -> Self {
        Self {
            outcome,
            reply,
            choice: None,
            is_final: false,
        }
    }

    /// Nothing was tried.
    pub(super) fn not_tried(reply: Reply) -> Self {
        Self::new(retry::Outcome::NotTried, reply)
    }

    /// The client's doing, or its time is over.
    fn last(outcome: retry::Outcome, reply: Reply) -> Self {
        Self {
            is_final: true,
            ..Self::new(outcome, reply)
        }
    }
}

/// Why a send ended without an answer.
enum Failure {
    /// The endpoint's doing.
    Endpoint(Error),
    /// The client's doing.
    Client(Error),
    /// The client does not want it any more.
    Gone,
    /// Time is over.
    Late(Late),
}

/// One try at one endpoint, with the connection that it has.
pub(super) struct Attempt<'a> {
    forward: &'a Forward<'a>,
    retried: bool,
    lease: Option<Lease>,
    /// The request went out, or need not any more.
    sent: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(forward: &'a Forward<'a>, retried: bool) -> Self {
        Self {
            forward,
            retried,
            lease: None,
            sent: false,
        }
    }

    /// Sends to the endpoint chosen and waits for the head of the answer; a pooled connection that
    /// was closed meanwhile is replaced.
    pub(super) async fn send(
        &mut self,
        head: &RequestHead,
        course: &mut Course,
        down: &mut Downstream<'_>,
        choice: &Choice,
        answer: &mut ResponseHead,
        exchange: &mut Exchange,
    ) -> Result<(), Box<Broken>> {
        course.clock.try_begins(&self.forward.times);
        for stale in 0.. {
            exchange.sends(self.connect(choice, head.version(), course).await?);
            let Err(failure) = self.exchange(head, course, down, answer).await else {
                course.clock.answered();
                return Ok(());
            };
            if self.is_stale(&failure, head, course) && stale < STALE_LIMIT {
                course.body.rewind();
                continue;
            }
            return Err(self.broken(failure).into());
        }
        let reply = Reply::reset(&Reset::Terminated, self.retried);
        Err(Broken::last(retry::Outcome::Reset, reply).into())
    }

    async fn connect(
        &mut self,
        choice: &Choice,
        version: Version,
        course: &Course,
    ) -> Result<&Lease, Box<Broken>> {
        let (worker, upstream) = (&self.forward.link.worker, &self.forward.upstream);
        let spoken = upstream.spoken(version);
        if let Some(lease) = upstream.open_connection(worker, &choice.host, spoken) {
            return Ok(self.lease.insert(lease));
        }
        // Apart, so that a request that need not wait is small.
        let connecting = Box::pin(upstream.connection(worker, &choice.host, spoken));
        let connected = match course.clock.connect_limit() {
            None => connecting.await,
            Some((limit, late)) => match tokio::time::timeout_at(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => return Err(self.broken(Failure::Late(late)).into()),
            },
        };
        let lease = connected.map_err(|error| {
            let failed = retry::Outcome::ConnectFailed;
            let (outcome, reset) = match error {
                ConnectError::Overflow => (retry::Outcome::NotTried, Reset::Overflow),
                ConnectError::TimedOut => (failed, Reset::ConnectTimeout),
                ConnectError::Refused(words) => (failed, Reset::Connect(words)),
            };
            Broken::new(outcome, Reply::reset(&reset, self.retried))
        })?;
        Ok(self.lease.insert(lease))
    }

    /// Whether the connection had been closed before the request reached anybody, or the request
    /// may as well be sent twice.
    fn is_stale(&self, failure: &Failure, head: &RequestHead, course: &Course) -> bool {
        let (Failure::Endpoint(error), Some(lease)) = (failure, &self.lease) else {
            return false;
        };
        lease.is_reused()
            && !lease.is_answered()
            && course.body.is_repeatable()
            && matches!(error, Error::Io(_) | Error::Closed)
            && retry::is_safe(head.method())
    }

    fn broken(&self, failure: Failure) -> Broken {
        let reset = |reset: Reset| Reply::reset(&reset, self.retried);
        match failure {
            Failure::Endpoint(error) => {
                tracing::debug!(%error, "no answer");
                match error {
                    refused if refused.is_refused() => {
                        Broken::new(retry::Outcome::Refused, reset(Reset::Refused))
                    }
                    // The endpoint's word for a request that it cannot read.
                    Error::Reset(Reason::PROTOCOL_ERROR) | Error::Protocol(_) => {
                        Broken::new(retry::Outcome::Reset, reset(Reset::Protocol))
                    }
                    Error::Reset(_) => Broken::new(retry::Outcome::Reset, reset(Reset::Remote)),
                    _ => Broken::new(retry::Outcome::Reset, reset(Reset::Terminated)),
                }
            }
            Failure::Client(error) => {
                tracing::debug!(%error, "the request broke off");
                let reply = match error {
                    Error::Protocol(error) => Reply::refused(error),
                    _ => Reply::gone(),
                };
                Broken::last(retry::Outcome::NotTried, reply)
            }
            Failure::Gone => Broken::last(retry::Outcome::NotTried, Reply::gone()),
            Failure::Late(late) => self.late(late),
        }
    }

    fn late(&self, late: Late) -> Broken {
        let reply = Reply::late(late, self.sent);
        let (outcome, is_final) = match late {
            Late::Try | Late::TryIdle => (retry::Outcome::PerTryTimeout, false),
            Late::Whole => (retry::Outcome::PerTryTimeout, true),
            _ => (retry::Outcome::NotTried, true),
        };
        let upstreams = matches!(late, Late::Whole | Late::Try | Late::TryIdle);
        let reply = if upstreams && self.forward.hides_timeout {
            reply.hidden()
        } else {
            reply
        };
        Broken {
            is_final,
            ..Broken::new(outcome, reply)
        }
    }

    /// Sends the request and waits for the head of the reply.
    async fn exchange(
        &mut self,
        head: &RequestHead,
        course: &mut Course,
        down: &mut Downstream<'_>,
        answer: &mut ResponseHead,
    ) -> Result<(), Failure> {
        let mut started = false;
        self.sent = false;
        poll_fn(|cx| {
            if !started {
                let Some(lease) = &mut self.lease else {
                    return Poll::Ready(Err(Failure::Endpoint(Error::Closed)));
                };
                match lease.poll_start(cx, head, head.framing, course.upgrade) {
                    Poll::Ready(Ok(())) => started = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Endpoint(error))),
                    Poll::Pending => return self.poll_limits(cx, course, down),
                }
            }
            let client = self.poll_request(cx, course, down);
            if let Poll::Ready(Err(failure)) = client {
                return Poll::Ready(Err(failure));
            }
            let Some(lease) = &mut self.lease else {
                return Poll::Ready(Err(Failure::Endpoint(Error::Closed)));
            };
            match lease.poll_head(cx, answer) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Endpoint(error))),
                Poll::Pending => {}
            }
            self.poll_limits(cx, course, down)
        })
        .await
    }

    /// Moves the request's body on. An endpoint that takes no more of it may have answered.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        course: &mut Course,
        down: &mut Downstream<'_>,
    ) -> Poll<Result<(), Failure>> {
        if self.sent {
            return Poll::Ready(Ok(()));
        }
        let Some(lease) = &mut self.lease else {
            return Poll::Ready(Ok(()));
        };
        let moved = course.body.poll_move(cx, down, lease);
        match moved {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(Side::Source(error))) => {
                return Poll::Ready(Err(Failure::Client(error)));
            }
            Poll::Ready(Ok(()) | Err(Side::Sink(_))) => {}
        }
        self.sent = true;
        let out = if course.body.is_streamed() {
            Instant::now()
        } else {
            course.started
        };
        course.clock.request_is_out(&self.forward.times, out.into());
        Poll::Ready(Ok(()))
    }

    fn poll_limits(
        &mut self,
        cx: &mut Context<'_>,
        course: &mut Course,
        down: &mut Downstream<'_>,
    ) -> Poll<Result<(), Failure>> {
        if down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failure::Gone));
        }
        let behind = self.lease.as_ref().map_or(0, Lease::behind);
        let awaits_client = !self.sent && behind == 0 && down.is_http1();
        let doing = Doing {
            moved: course.body.received - behind as u64,
            requested: self.sent,
            awaits_client: awaits_client && down.data().is_empty(),
        };
        let late = course.clock.poll(cx, down.timer(), doing);
        late.map(|late| Err(Failure::Late(late)))
    }

    /// Passes the reply's body on, and what is left of the request's.
    pub(super) async fn pass_body(
        mut self,
        course: &mut Course,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) {
        if exchange.wants_trailers()
            && let Some(lease) = &mut self.lease
        {
            lease.keep_trailers();
        }
        let ended = poll_fn(|cx| {
            if let Poll::Ready(Err(Failure::Client(error))) = self.poll_request(cx, course, down) {
                return Poll::Ready(Err(Ended::Client(error)));
            }
            let Some(lease) = &mut self.lease else {
                return Poll::Ready(Ok(()));
            };
            match poll_move(cx, lease, down, &mut exchange.sent) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(Side::Source(error))) => {
                    return Poll::Ready(Err(Ended::Endpoint(error)));
                }
                Poll::Ready(Err(Side::Sink(error))) => {
                    return Poll::Ready(Err(Ended::Client(error)));
                }
                Poll::Pending => {}
            }
            if down.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Ended::Client(Error::Closed)));
            }
            let behind = self.lease.as_ref().map_or(0, Lease::behind);
            let doing = Doing {
                moved: course.body.received - behind as u64 + exchange.sent,
                requested: self.sent,
                awaits_client: false,
            };
            let late = course.clock.poll(cx, down.timer(), doing);
            late.map(|late| Err(Ended::Late(late)))
        })
        .await;
        exchange.received = course.body.received;
        if let Some(lease) = &self.lease {
            exchange.ended(lease.grpc_status());
            if let Some(trailers) = lease.kept_trailers() {
                exchange.trailed(trailers);
            }
        }
        match ended {
            Ok(()) => exchange.complete(),
            Err(Ended::Client(error)) => {
                tracing::debug!(%error, "the client left");
                exchange.client_left();
                down.abort();
            }
            Err(Ended::Endpoint(error)) => {
                tracing::debug!(%error, "the reply broke off");
                exchange.broke(
                    Flags::UPSTREAM_CONNECTION_TERMINATION,
                    "upstream_reset_after_response_started{connection_termination}",
                );
                down.abort();
            }
            Err(Ended::Late(late)) => {
                let (flags, details) = Reply::late_words(late);
                exchange.broke(flags, details);
                down.abort();
            }
        }
        down.finish();
    }

    /// Reads the reply that is not wanted to its end, so that the connection can be used again.
    pub(super) fn drop_reply(mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        tokio::task::spawn_local(async move {
            let mut dropped = 0;
            while dropped < super::body::KEEP_LIMIT {
                match poll_fn(|cx| lease.poll_fill(cx)).await {
                    Ok(Fill::Data) => {
                        let count = lease.data().len();
                        lease.consume(count);
                        dropped += count;
                    }
                    Ok(Fill::End) | Err(_) => return,
                }
            }
        });
    }

    /// The endpoint's connection, after a 101.
    ///
    /// # Errors
    /// When it is none that could become something else.
    pub(super) fn take_tunnel(&mut self) -> Result<Box<Tunnel>, Box<Reply>> {
        let tunnel = self.lease.take().and_then(Lease::into_tunnel);
        Ok(tunnel.ok_or_else(|| Reply::reset(&Reset::Protocol, false))?)
    }
}

/// How a reply ended that did not come to its end.
enum Ended {
    Client(Error),
    Endpoint(Error),
    Late(Late),
}
