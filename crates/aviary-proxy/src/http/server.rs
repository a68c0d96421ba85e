//! The server's half of the codec: one client connection.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::Body;
use super::body;
use crate::stream::Stream;

/// Longest request head, in bytes; over it 431.
const HEAD_LIMIT: usize = 64 << 10;
/// Most header fields of a request; over it 431.
const FIELD_LIMIT: usize = 128;
/// A head that began must be complete after this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// HTTP/2 streams that one client may have open on a connection.
const STREAM_LIMIT: u32 = 1000;
/// HTTP/2 windows in bytes: per stream, and for the connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

const PREFACE_START: &[u8] = b"PRI * HTTP/2.0";

/// Runs tasks of the codec on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Why serving a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client broke the protocol, or went away.
    #[error(transparent)]
    Codec(#[from] hyper::Error),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client took too long for a request head, or did not use the connection.
    #[error("nothing was asked in time")]
    TimedOut,
}

/// Serves HTTP/1 or, after its preface, HTTP/2 until the client is done or `drain` is cancelled
/// and the requests under way are answered.
///
/// # Errors
/// When it ended otherwise; a client that goes away between requests is no error.
pub(crate) async fn serve<H, F>(
    mut stream: Stream,
    handler: H,
    drain: &CancellationToken,
) -> Result<(), Error>
where
    H: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    let activity = Arc::new(Activity::new());
    let preface = tokio::select! {
        preface = is_http2(&mut stream) => preface?,
        () = activity.expired() => return Err(Error::TimedOut),
        () = drain.cancelled() => return Ok(()),
    };
    match preface {
        None => Ok(()),
        Some(true) => serve_http2(stream, handler, drain).await,
        Some(false) => serve_http1(stream, handler, drain, activity).await,
    }
}

/// Whether the client begins with HTTP/2's preface; `None` when it says nothing at all.
async fn is_http2(stream: &mut Stream) -> io::Result<Option<bool>> {
    loop {
        let seen = stream.seen();
        let common = seen.len().min(PREFACE_START.len());
        if seen[..common] != PREFACE_START[..common] {
            return Ok(Some(false));
        }
        if common == PREFACE_START.len() {
            return Ok(Some(true));
        }
        if stream.look().await? == 0 {
            return Ok((common > 0).then_some(false));
        }
    }
}

async fn serve_http1<H, F>(
    stream: Stream,
    handler: H,
    drain: &CancellationToken,
    activity: Arc<Activity>,
) -> Result<(), Error>
where
    H: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        activity.set(State::Busy);
        let response = handler(request.map(Body::Wire));
        let activity = Arc::clone(&activity);
        async move {
            let guard = Busy(activity);
            let response = response.await;
            Ok::<_, Infallible>(response.map(|body| Watched {
                body,
                _guard: guard,
            }))
        }
    });
    if !stream.seen().is_empty() {
        activity.set(State::Head(Instant::now()));
    }
    let io = TokioIo::new(Guarded {
        stream,
        activity: Arc::clone(&activity),
    });
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .max_headers(FIELD_LIMIT)
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = &mut connection => return Ok(result?),
        () = activity.expired() => return Err(Error::TimedOut),
        () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn serve_http2<H, F>(
    stream: Stream,
    handler: H,
    drain: &CancellationToken,
) -> Result<(), Error>
where
    H: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>> + 'static,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = handler(request.map(Body::Wire));
        async move { Ok::<_, Infallible>(response.await) }
    });
    let io = TokioIo::new(stream);
    let connection = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAM_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = &mut connection => return Ok(result?),
        () = drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

/// What a client's connection is doing; shared with the codec, which wants it to be `Send`.
#[derive(Debug)]
struct Activity {
    epoch: Instant,
    /// 0 while a request is under way, else milliseconds since `epoch` times two, plus one while
    /// a head is being read.
    state: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request is under way.
    Busy,
    /// Waiting for a request since then.
    Idle(Instant),
    /// Reading a head since then.
    Head(Instant),
}

impl Activity {
    fn new() -> Self {
        let activity = Self {
            epoch: Instant::now(),
            state: AtomicU64::new(0),
        };
        activity.set(State::Idle(activity.epoch));
        activity
    }

    fn set(&self, state: State) {
        let at = |time: Instant| {
            let since = time.saturating_duration_since(self.epoch).as_millis();
            u64::try_from(since).unwrap_or(u64::MAX / 4).max(1) * 2
        };
        let value = match state {
            State::Busy => 0,
            State::Idle(since) => at(since),
            State::Head(since) => at(since) + 1,
        };
        self.state.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Busy,
            value => {
                let since = self.epoch + Duration::from_millis(value / 2);
                if value % 2 == 1 {
                    State::Head(since)
                } else {
                    State::Idle(since)
                }
            }
        }
    }

    /// Ends when a head took longer than [`HEAD_TIMEOUT`], or nothing was asked for
    /// [`IDLE_TIMEOUT`]. It looks only now and then, so that requests pay nothing for it.
    async fn expired(&self) {
        loop {
            let now = Instant::now();
            let wake = match self.get() {
                State::Busy => now + HEAD_TIMEOUT,
                State::Head(since) if since + HEAD_TIMEOUT <= now => return,
                State::Idle(since) if since + IDLE_TIMEOUT <= now => return,
                State::Head(since) => since + HEAD_TIMEOUT,
                State::Idle(since) => (since + IDLE_TIMEOUT).min(now + HEAD_TIMEOUT),
            };
            tokio::time::sleep_until(wake.into()).await;
        }
    }
}

/// Marks the connection as waiting again when an exchange is over.
#[derive(Debug)]
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(State::Idle(Instant::now()));
    }
}

/// A reply's body that knows when it is over.
struct Watched {
    body: Body,
    _guard: Busy,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose reads are noted.
struct Guarded {
    stream: Stream,
    activity: Arc<Activity>,
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && matches!(self.activity.get(), State::Idle(_)) {
            self.activity.set(State::Head(Instant::now()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
