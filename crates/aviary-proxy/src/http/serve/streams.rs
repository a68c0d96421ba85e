//! A client's connection of HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aviary_http::http2::{End, Reason};
use tokio::time::Instant;

use super::PATIENCE;
use crate::connection::Link;
use crate::http::downstream::Downstream;
use crate::http::ending::Ending;
use crate::http::http2::server::{Connection, Request, give};
use crate::http::terms::Terms;
use crate::http::timer::Timer;
use crate::request;
use crate::stream::Stream;

/// Heads that are too large after which a connection of HTTP/2 is ended: each costs as much as it
/// is large, and costs the client nothing.
const LARGE_HEADS: u32 = 4;

/// Serves HTTP/2 from its preface on.
pub(super) async fn serve(link: Rc<Link>, stream: Stream, terms: Terms) {
    let worker = Rc::clone(&link.worker);
    let word = pin!(worker.drain().cancelled());
    let mut ending = Ending::new(word, worker.draining());
    let mut connection = Connection::new(stream, &terms);
    let mut timer = Timer::default();
    let (mut draining, mut requests, mut large) = (false, 0, 0);
    let greeting = Instant::now() + terms.head;
    // With nothing open it ends then; while something is, that moves away.
    let mut end = terms.wait();
    // When it gives memory back, unless something happens before.
    let mut quiet = Quiet::Not;
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = connection.poll(cx) {
                return Poll::Ready(next.map_or(Event::Requests, Event::Ended));
            }
            if !connection.is_greeted() {
                return timer.poll(cx, greeting).map(|()| Event::Silent);
            }
            if !draining && ending.poll(cx) {
                return Poll::Ready(Event::End);
            }
            if draining {
                return Poll::Pending;
            }
            if connection.streams() > 0 {
                (end, quiet) = (terms.wait(), Quiet::Not);
            } else if quiet.poll(cx, &mut timer, end).is_ready() {
                connection.rest();
            }
            ready!(timer.poll(cx, end));
            if connection.streams() == 0 || terms.is_last(requests) {
                return Poll::Ready(Event::End);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        match next {
            Event::Requests => {
                while let Some(request) = connection.take() {
                    requests += 1;
                    large += u32::from(!answer(&link, request));
                }
                end = terms.wait();
                if large > LARGE_HEADS {
                    tracing::info!(remote = %link.remote, "client connection ended: large heads");
                    return Box::pin(connection.end(Reason::ENHANCE_YOUR_CALM)).await;
                }
                if !draining && terms.is_last(requests) {
                    draining = true;
                    connection.shut_down();
                }
            }
            Event::End => {
                draining = true;
                connection.shut_down();
            }
            Event::Ended(reason) => {
                say_why(&link, reason);
                return Box::pin(connection.end(Reason::NO_ERROR)).await;
            }
            Event::Silent => return,
        }
    }
}

/// Whether nothing is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    /// Something is, or was just now.
    Not,
    /// Nothing is, and until then something is expected.
    Until(Instant),
    /// Nothing is for a while.
    Long,
}

impl Quiet {
    /// Nothing is open: ready once, when that has been so for a while. `end` is when the connection
    /// ends anyway.
    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer, end: Instant) -> Poll<()> {
        if *self == Self::Not {
            *self = Self::Until(Instant::now() + PATIENCE);
        }
        match *self {
            Self::Until(patience) if patience < end => {
                ready!(timer.poll(cx, patience));
                *self = Self::Long;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

/// What comes next on an HTTP/2 connection.
enum Event {
    /// Requests came.
    Requests,
    /// No more streams are to be taken.
    End,
    /// It ended.
    Ended(End),
    /// Nothing came in time.
    Silent,
}

fn say_why(link: &Link, reason: End) {
    if let End::Flood(flood) = reason {
        tracing::info!(remote = %link.remote, reason = flood.detail(), "client connection ended");
    } else {
        tracing::debug!(remote = %link.remote, %reason, "client connection ended");
    }
}

/// Answers one request on its own; `false` when its head is too large.
fn answer(link: &Rc<Link>, request: Request) -> bool {
    let link = Rc::clone(link);
    let worker = Rc::clone(&link.worker);
    match request {
        Request::Whole(mut head, stream) => {
            // On its own memory at once: on the way to the runtime it is moved several times.
            worker.spawn(Box::pin(async move {
                let mut down = Downstream::Http2(Box::new(stream), Timer::default());
                // A tunnel is of HTTP/1 only.
                request::handle(&link, &mut head, &mut down).await;
                give(head);
            }));
            true
        }
        Request::TooLarge(error, stream) => {
            worker.spawn(async move {
                let mut down = Downstream::Http2(Box::new(stream), Timer::default());
                request::refuse(&link, error.status(), error.detail(), &mut down).await;
            });
            false
        }
    }
}
