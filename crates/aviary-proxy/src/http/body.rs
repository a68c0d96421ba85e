//! Message bodies.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The peer or the codec ended it.
    #[error(transparent)]
    Codec(#[from] hyper::Error),
    /// The time for the whole exchange is over.
    #[error("the time for the request is over")]
    Deadline,
}

/// A message body, in one piece or as it comes.
pub(crate) enum Body {
    /// One piece; `None` when it has been given.
    Full(Option<Bytes>),
    /// From a connection.
    Wire(hyper::body::Incoming),
    /// Pieces read ahead, then the rest.
    Ahead(VecDeque<Bytes>, Box<Self>),
    /// Anything else.
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error>>>),
}

impl Body {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }

    /// These bytes.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }

    /// Wraps another kind.
    pub(crate) fn boxed(body: impl HttpBody<Data = Bytes, Error = Error> + 'static) -> Self {
        Self::Boxed(Box::pin(body))
    }

    /// Another one like it, when it is in one piece.
    pub(crate) fn copy(&self) -> Option<Self> {
        match self {
            Self::Full(bytes) => Some(Self::Full(bytes.clone())),
            _ => None,
        }
    }

    /// Reads it into one piece when it has at most `limit` bytes and no trailers; otherwise gives
    /// it back to be streamed.
    ///
    /// # Errors
    /// When it breaks off meanwhile.
    pub(crate) async fn gather(mut self, limit: usize) -> Result<Self, Error> {
        if matches!(self, Self::Full(_)) {
            return Ok(self);
        }
        let mut pieces = VecDeque::new();
        let mut size = 0;
        while let Some(frame) = self.frame().await.transpose()? {
            let Ok(piece) = frame.into_data() else {
                return Ok(self);
            };
            size += piece.len();
            pieces.push_back(piece);
            if size > limit {
                return Ok(Self::Ahead(pieces, Box::new(self)));
            }
        }
        let whole = match pieces.len() {
            1 => pieces.pop_front().unwrap_or_default(),
            _ => pieces.into_iter().flatten().collect(),
        };
        Ok(Self::full(whole))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full(None) => "no body",
            Self::Full(Some(_)) => "body",
            _ => "streamed body",
        })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Wire(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Self::Ahead(pieces, rest) => match pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Pin::new(rest.as_mut()).poll_frame(cx),
            },
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Wire(body) => body.is_end_stream(),
            Self::Ahead(pieces, rest) => pieces.is_empty() && rest.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Wire(body) => body.size_hint(),
            Self::Ahead(pieces, rest) => {
                let ahead: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
                let mut hint = rest.size_hint();
                hint.set_lower(hint.lower() + ahead);
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper + ahead);
                }
                hint
            }
            Self::Boxed(body) => body.size_hint(),
        }
    }
}
