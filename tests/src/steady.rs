//! Correct traffic beside whatever a test does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Report;
use crate::raw::Raw;

/// Pause between two requests.
const PAUSE: Duration = Duration::from_millis(4);

/// A client that sends one request after the other on a connection of its own.
#[derive(Debug)]
pub struct Steady {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

impl Steady {
    /// Starts; the first request has been answered when this returns.
    ///
    /// # Errors
    /// The first request failed.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let asked = ended.clone();
        let mut connection = Raw::connect(address)?;
        connection.get("/steady")?;
        let thread = std::thread::spawn(move || {
            let mut report = Report::default();
            while !asked.load(Ordering::Relaxed) {
                report.sent += 1;
                let started = Instant::now();
                match connection.get("/steady") {
                    Ok(answer) if answer.status == 200 && answer.body == b"ok" => {
                        report.ok += 1;
                        report.latencies.push(started.elapsed());
                    }
                    Ok(answer) => report.failures.push(answer.head),
                    Err(error) => {
                        report.failures.push(error.to_string());
                        match Raw::connect(address) {
                            Ok(new) => connection = new,
                            Err(error) => report.failures.push(error.to_string()),
                        }
                    }
                }
                std::thread::park_timeout(PAUSE);
            }
            report
        });
        Ok(Self { ended, thread })
    }

    /// Stops it and reports.
    pub fn stop(self) -> Report {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }

    /// Stops it and asserts that it noticed nothing.
    pub fn assert_unaffected(self) -> Report {
        let report = self.stop();
        assert_eq!(report.failures, Vec::<String>::new(), "the neighbour");
        assert!(report.ok > 0, "the neighbour was never answered");
        let p99 = report.quantile(0.99);
        assert!(p99 < SLOW, "the neighbour waited {p99:?} (p99)");
        report
    }
}

/// Two cores carry the tests, the proxy (a debug build) and its endpoints at once: what is slower than
/// this was held up by the proxy and not by them.
const SLOW: Duration = Duration::from_millis(250);
