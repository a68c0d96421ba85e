//! Clients that call one after the other, many of them at once, and remember everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aviary_tests::raw::Raw;

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Its id, sent as `x-id`.
    pub(super) id: String,
    /// When it left.
    pub(super) at: Instant,
    /// How long the answer took.
    pub(super) took: Duration,
    /// Status and body; the status is 0 and the body the error when there was no answer.
    pub(super) status: u16,
    pub(super) body: String,
    /// The field `x-edit` of the answer.
    pub(super) edit: Option<String>,
}

/// Clients that call until they are stopped.
pub(super) struct Callers {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Call>>>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Callers {
    /// So many clients that send `method` to `path`, each waiting for `pause` after an answer.
    pub(super) fn start(
        address: SocketAddr,
        count: usize,
        (method, path): (&'static str, &'static str),
        pause: Duration,
    ) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|_| {
            let ended = ended.clone();
            std::thread::spawn(move || {
                let mut calls = Vec::new();
                let mut connection = Raw::connect(address).ok();
                while !ended.load(Ordering::Relaxed) {
                    let call = one(address, &mut connection, method, path);
                    calls.push(call);
                    std::thread::park_timeout(pause);
                }
                calls
            })
        });
        Self {
            threads: threads.collect(),
            ended,
        }
    }

    /// Stops them; gives all calls in the order of their times.
    pub(super) fn stop(self) -> Vec<Call> {
        self.ended.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        let mut calls: Vec<Call> = threads
            .flat_map(|thread| {
                thread.thread().unpark();
                thread.join().unwrap_or_default()
            })
            .collect();
        calls.sort_by_key(|call| call.at);
        calls
    }
}

/// One call on this connection, which is opened anew when it failed before.
pub(super) fn one(
    address: SocketAddr,
    connection: &mut Option<Raw>,
    method: &str,
    path: &str,
) -> Call {
    let id = format!("{method}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let length = if method == "POST" {
        "content-length: 2\r\n"
    } else {
        ""
    };
    let body = if method == "POST" { "hi" } else { "" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\nx-id: {id}\r\n{length}\r\n{body}");
    let at = Instant::now();
    let answer = match connection.take().map_or_else(|| Raw::connect(address), Ok) {
        Ok(mut open) => open.ask(&request).inspect(|answer| {
            let keep = answer.field("connection") != Some("close");
            *connection = keep.then_some(open);
        }),
        Err(error) => Err(error),
    };
    let (status, body, edit) = match answer {
        Ok(answer) => {
            let edit = answer.field("x-edit").map(str::to_owned);
            (answer.status, answer.text(), edit)
        }
        Err(error) => (0, error.to_string(), None),
    };
    Call {
        id,
        at,
        took: at.elapsed(),
        status,
        body,
        edit,
    }
}

/// The calls that were not answered 200.
pub(super) fn failed(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.status != 200).collect()
}

/// What the slowest of this share (0 to 1) of the calls took.
pub(super) fn quantile(calls: &[Call], share: f64) -> Duration {
    let mut all: Vec<Duration> = calls.iter().map(|call| call.took).collect();
    all.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list of some thousand"
    )]
    let index = (all.len().saturating_sub(1) as f64 * share) as usize;
    all.get(index).copied().unwrap_or_default()
}
