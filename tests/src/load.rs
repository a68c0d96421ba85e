//! Steady load: requests leave at their times, whatever became of those before.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A request without an answer for so long has failed.
const DEADLINE: Duration = Duration::from_secs(15);

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Requests that left.
    pub sent: usize,
    /// Those answered 200 with their whole body.
    pub ok: usize,
    /// What went wrong with the others, at most 20 of them.
    pub failures: Vec<String>,
    /// Time until the last byte of each good answer.
    pub latencies: Vec<Duration>,
}

impl Report {
    /// The latency that the share `q` (0 to 1) of the good answers did not exceed.
    pub fn quantile(&self, q: f64) -> Duration {
        let mut all = self.latencies.clone();
        all.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of some thousand"
        )]
        let index = ((all.len().saturating_sub(1)) as f64 * q) as usize;
        all.get(index).copied().unwrap_or_default()
    }
}

/// Load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Report>,
}

impl Load {
    /// Asks for `url` `per_second` times a second with these headers.
    pub fn start(url: &str, headers: &[(&str, &str)], per_second: u32) -> Self {
        let (stop, stopped) = oneshot::channel();
        let url = url.to_owned();
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map(|runtime| runtime.block_on(send(url, headers, per_second, stopped)))
                .unwrap_or_default()
        });
        Self { stop, thread }
    }

    /// Stops it, waits for what is under way, and reports.
    pub fn stop(self) -> Report {
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

async fn send(
    url: String,
    headers: Vec<(String, String)>,
    per_second: u32,
    mut stopped: oneshot::Receiver<()>,
) -> Report {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http();
    let report = Arc::new(Mutex::new(Report::default()));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => break,
        }
        let mut request = Request::get(&url);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(Empty::new()) else {
            break;
        };
        let (client, report) = (client.clone(), report.clone());
        report.lock().sent += 1;
        tasks.spawn(async move {
            let started = Instant::now();
            let outcome = tokio::time::timeout(DEADLINE, one(&client, request)).await;
            let mut report = report.lock();
            match outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(()) => {
                    report.ok += 1;
                    report.latencies.push(started.elapsed());
                }
                Err(failure) if report.failures.len() < 20 => report.failures.push(failure),
                Err(_) => {}
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Arc::try_unwrap(report)
        .map(Mutex::into_inner)
        .unwrap_or_default()
}

async fn one(
    client: &Client<HttpConnector, Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<(), String> {
    let reply = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = reply.status();
    let flags = format!("{:?}", reply.headers());
    let body = reply
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("body: {error:?}"))?
        .to_bytes();
    if status.as_u16() == 200 {
        return Ok(());
    }
    Err(format!(
        "{status} {flags} {}",
        String::from_utf8_lossy(&body[..body.len().min(200)])
    ))
}
