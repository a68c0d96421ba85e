//! Message bodies on their way from one connection to another.

use std::io;
use std::task::{Context, Poll, ready};

use aviary_http::Fields;
use aviary_http::http2::{End, Reason};
use bytes::Bytes;
use tokio::net::TcpStream;

/// Why a message broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The socket's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer ended before the message did.
    #[error("the connection ended inside a message")]
    Closed,
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] aviary_http::Error),
    /// An endpoint gives one interim reply after the other.
    #[error("too many interim replies")]
    InterimFlood,
    /// The peer ended the stream by itself.
    #[error("stream reset: {0}")]
    Reset(Reason),
    /// The peer ended the connection before it looked at the message.
    #[error("stream refused")]
    Refused,
    /// The connection ended that the stream was on.
    #[error("the connection ended: {0}")]
    Ended(End),
}

impl Error {
    /// The peer says that it did not look at the message.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Reset(Reason::REFUSED_STREAM) | Self::Refused)
    }
}

/// What a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Bytes in [`Source::data`].
    Data,
    /// The end; trailers may be there.
    End,
}

/// Where a body comes from.
pub(crate) trait Source {
    /// Waits until there are bytes, or the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>>;

    /// The bytes that are there.
    fn data(&self) -> &[u8];

    /// Takes `count` of them away.
    fn consume(&mut self, count: usize);

    /// Nothing comes after [`Self::data`], not even trailers.
    fn is_last(&self) -> bool;

    /// What came after the body.
    fn trailers(&mut self) -> Option<Fields>;

    /// The socket from which the rest of the body comes as it is, and how many bytes that is. `None`
    /// where some of it was read ahead, or it comes in another form, or nobody knows its length.
    fn direct(&mut self) -> Option<(&TcpStream, u64)> {
        None
    }

    /// So many bytes were taken from that socket.
    fn took(&mut self, _count: usize) {}
}

/// Where a body goes.
pub(crate) trait Sink {
    /// Takes bytes of `source`, which has some; ready with their number when it took any.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>>;

    /// Moves bytes of `source` on inside the kernel; ready with their number when any went out.
    /// `None` where that cannot be, or is not worth it.
    fn poll_splice(
        &mut self,
        _cx: &mut Context<'_>,
        _source: &mut impl Source,
    ) -> Option<Poll<Result<usize, Side>>> {
        None
    }

    /// Ends the body. What goes out is in order; it is not flushed.
    ///
    /// # Errors
    /// When the peer is gone.
    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error>;

    /// Whether [`Self::end`] was done, by the last bytes or by itself.
    fn is_ended(&self) -> bool;

    /// Waits until everything was given to the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
}

/// A body that is held as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(pub(crate) Bytes);

impl Source for Kept {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        Poll::Ready(Ok(if self.0.is_empty() {
            Fill::End
        } else {
            Fill::Data
        }))
    }

    fn data(&self) -> &[u8] {
        &self.0
    }

    fn consume(&mut self, count: usize) {
        bytes::Buf::advance(&mut self.0, count);
    }

    fn is_last(&self) -> bool {
        true
    }

    fn trailers(&mut self) -> Option<Fields> {
        None
    }
}

/// Moves what can be moved from `source` to `sink`; ready when the body is over and flushed.
/// `moved` counts the bytes.
pub(crate) fn poll_move(
    cx: &mut Context<'_>,
    source: &mut impl Source,
    sink: &mut impl Sink,
    moved: &mut u64,
) -> Poll<Result<(), Side>> {
    while !sink.is_ended() {
        if let Some(spliced) = sink.poll_splice(cx, source) {
            *moved += ready!(spliced)? as u64;
            continue;
        }
        match source.poll_fill(cx).map_err(Side::Source)? {
            Poll::Ready(Fill::Data) => {
                let last = source.is_last().then(|| source.data().len());
                let count = ready!(sink.poll_send(cx, source).map_err(Side::Sink))?;
                *moved += count as u64;
                if last == Some(count) && !sink.is_ended() {
                    sink.end(None).map_err(Side::Sink)?;
                }
            }
            Poll::Ready(Fill::End) => {
                let trailers = source.trailers();
                sink.end(trailers.as_ref()).map_err(Side::Sink)?;
            }
            Poll::Pending => {
                // What is there goes out before the rest comes.
                let _ = sink.poll_flush(cx).map_err(Side::Sink)?;
                return Poll::Pending;
            }
        }
    }
    sink.poll_flush(cx).map_err(Side::Sink)
}

/// Which end of a move broke.
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that gives.
    Source(Error),
    /// The one that takes.
    Sink(Error),
}

impl Side {
    /// What broke, whichever end it was.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Source(error) | Self::Sink(error) => error,
        }
    }
}
