//! Correct traffic beside whatever a test does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Report;
use crate::origin::Origin;
use crate::raw::Raw;

/// Pause between two requests.
const PAUSE: Duration = Duration::from_millis(4);
/// Fewer requests than these say nothing.
const LEAST: usize = 20;
/// Two cores carry the tests, the proxy (a debug build) and its endpoints at once: what is slower than
/// this, and than the machine, was held up by the proxy.
const SLOW: Duration = Duration::from_millis(250);

/// A client that sends one request after the other on a connection of its own; and another one that
/// does the same past the proxy, which tells how fast the machine is meanwhile.
#[derive(Debug)]
pub struct Steady {
    ended: Arc<AtomicBool>,
    through: JoinHandle<Report>,
    past: JoinHandle<Report>,
    _origin: Origin,
}

impl Steady {
    /// Starts; the first request has been answered when this returns.
    ///
    /// # Errors
    /// The first request failed.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let origin = Origin::echo()?;
        Ok(Self {
            through: client(address, &ended)?,
            past: client(origin.address(), &ended)?,
            ended,
            _origin: origin,
        })
    }

    /// Stops it, once it has sent enough; reports what went through the proxy, and past it.
    fn stop(self) -> (Report, Report) {
        self.ended.store(true, Ordering::Relaxed);
        let report = |thread: JoinHandle<Report>| {
            thread.thread().unpark();
            thread.join().unwrap_or_default()
        };
        (report(self.through), report(self.past))
    }

    /// Stops it and asserts that it noticed nothing.
    pub fn assert_unaffected(self) -> Report {
        let (through, past) = self.stop();
        assert_eq!(through.failures, Vec::<String>::new(), "the neighbour");
        assert!(through.ok > 0, "the neighbour was never answered");
        let (p99, machine) = (through.quantile(0.99), past.quantile(0.99));
        assert!(
            p99 < SLOW.mul_f64(crowding()) + machine * 4,
            "the neighbour waited {p99:?} (p99), past the proxy {machine:?}"
        );
        through
    }
}

/// How many want each core, at least 1: where others want it too, the proxy gets its time later.
fn crowding() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(1.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap_or(1);
    (load / f64::from(cores)).max(1.0)
}

fn client(address: SocketAddr, ended: &Arc<AtomicBool>) -> Result<JoinHandle<Report>> {
    let ended = ended.clone();
    let mut connection = Raw::connect(address)?;
    connection.get("/steady")?;
    Ok(std::thread::spawn(move || {
        let mut report = Report::default();
        while report.sent < LEAST || !ended.load(Ordering::Relaxed) {
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
    }))
}
