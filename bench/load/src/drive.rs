//! When requests leave, and what is said about their answers.

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::client::{Clients, Finished};
use crate::say;

/// How long answers are waited for after the last request of an open loop.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the answer of a single request is waited for: instruction counting makes proxies slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// More failures than this end the load.
const FAILURES_MAX: u64 = 10_000;

/// What makes requests leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The answer to the one before.
    Closed,
    /// Time: `rate` per second on average, independent of each other.
    Open {
        /// Requests per second.
        rate: f64,
    },
}

/// What became of the requests.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Answered as they should be.
    requests: u64,
    /// Answered otherwise, or not at all.
    errors: u64,
    /// The first failure.
    error: Option<String>,
    seconds: f64,
    /// Connections that ended and were made anew.
    reconnects: usize,
    /// Time from when a request should have left to its whole answer, in µs; 0 for a closed loop.
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

/// Asks for `length` at `pace`; `every` says how often to tell how it goes.
///
/// # Errors
/// A connection cannot be made.
pub(crate) fn run(
    mut clients: Clients,
    pace: Pace,
    length: Duration,
    every: Option<Duration>,
) -> Result<Tally> {
    let start = Instant::now();
    let mut load = Load {
        tally: Tally::default(),
        latencies: Vec::new(),
        timed: matches!(pace, Pace::Open { .. }),
        measure_from: start + Duration::from_secs(1).min(length.mul_f64(0.15)),
    };
    let mut arrivals = Arrivals::new(pace, start, start + length);
    let mut finished = Vec::new();
    let mut progress = every.map(|every| (every, start + every));
    loop {
        let now = Instant::now();
        arrivals.until(now);
        while clients.has_room()
            && let Some(due) = arrivals.take(now)
        {
            clients.start(due);
        }
        clients.flush(&mut finished)?;
        if arrivals.over(now) && clients.in_flight() == 0 || now > arrivals.end + arrivals.patience
        {
            break;
        }
        clients.wait(Some(arrivals.wait(now)), &mut finished)?;
        load.count(&mut finished)?;
        if let Some((every, at)) = &mut progress
            && now >= *at
        {
            *at += *every;
            load.tell(now - start);
        }
    }
    let unanswered = clients.in_flight() + arrivals.queue.len();
    if load.timed && unanswered > 0 {
        load.tally.errors += unanswered as u64;
        load.tally.error = Some(format!("{unanswered} without an answer"));
    }
    load.tally.reconnects = clients.reconnects;
    Ok(load.finish(start.elapsed().min(length)))
}

/// When requests are due.
#[derive(Debug)]
struct Arrivals {
    pace: Pace,
    end: Instant,
    /// How long answers are waited for after the end.
    patience: Duration,
    next: Instant,
    /// Due and not sent yet.
    queue: VecDeque<Instant>,
    random: u64,
}

impl Arrivals {
    fn new(pace: Pace, start: Instant, end: Instant) -> Self {
        Self {
            pace,
            end,
            patience: match pace {
                Pace::Closed => Duration::ZERO,
                Pace::Open { .. } => PATIENCE,
            },
            next: start,
            queue: VecDeque::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Queues what is due by `now`.
    fn until(&mut self, now: Instant) {
        if let Pace::Open { rate } = self.pace {
            while self.next <= now && self.next < self.end {
                self.queue.push_back(self.next);
                let gap = self.gap(rate);
                self.next += gap;
            }
        }
    }

    /// The next request that may leave.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        match self.pace {
            Pace::Closed => (now < self.end).then_some(now),
            Pace::Open { .. } => self.queue.pop_front(),
        }
    }

    fn over(&self, now: Instant) -> bool {
        now >= self.end && self.queue.is_empty()
    }

    /// How long nothing is due.
    fn wait(&self, now: Instant) -> Duration {
        match self.pace {
            Pace::Open { .. } if now < self.end => self.next.saturating_duration_since(now),
            _ if now >= self.end => Duration::from_millis(50),
            _ => (self.end - now).min(Duration::from_millis(100)),
        }
    }

    /// Time to the next arrival: exponential, from a xorshift generator with a fixed seed.
    fn gap(&mut self, rate: f64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let uniform = ((self.random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / rate)
    }
}

#[derive(Debug)]
struct Load {
    tally: Tally,
    /// In nanoseconds; 4 s and more count as 4 s.
    latencies: Vec<u32>,
    timed: bool,
    measure_from: Instant,
}

impl Load {
    fn count(&mut self, finished: &mut Vec<Finished>) -> Result<()> {
        let now = if self.timed && !finished.is_empty() {
            Some(Instant::now())
        } else {
            None
        };
        for finished in finished.drain(..) {
            if let Some(failure) = finished.failure {
                self.tally.errors += 1;
                self.tally.error.get_or_insert(failure);
                continue;
            }
            self.tally.requests += 1;
            if let Some(now) = now
                && finished.due >= self.measure_from
            {
                let taken = now.saturating_duration_since(finished.due).as_nanos();
                self.latencies
                    .push(u32::try_from(taken).unwrap_or(u32::MAX));
            }
        }
        if self.tally.errors > FAILURES_MAX {
            bail!(
                "more than {FAILURES_MAX} requests failed, the first with: {}",
                self.tally.error.as_deref().unwrap_or_default()
            );
        }
        Ok(())
    }

    fn tell(&self, passed: Duration) {
        let Tally {
            requests, errors, ..
        } = self.tally;
        say(&format!(
            "{:.0} s: {requests} answered, {errors} failed",
            passed.as_secs_f64()
        ));
    }

    fn finish(mut self, length: Duration) -> Tally {
        self.latencies.sort_unstable();
        let quantile = |q| quantile_us(&self.latencies, q);
        Tally {
            seconds: length.as_secs_f64(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: quantile(1.0),
            ..self.tally
        }
    }
}

/// The latency in µs that the share `q` did not exceed; 0 without any.
fn quantile_us(sorted: &[u32], q: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list"
    )]
    let index = (sorted.len() as f64 * q) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(index.min(last))
        .map_or(0.0, |ns| f64::from(*ns) / 1000.0)
}

/// Makes as many requests as each line of standard input says, one after the other, and answers `done`.
///
/// # Errors
/// One of them fails.
pub(crate) fn count(clients: &mut Clients) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let number: u64 = line?.trim().parse()?;
        for _ in 0..number {
            ask(clients)?;
        }
        done()?;
    }
    Ok(())
}

/// Makes one request on each connection, says `done`, and holds the connections until standard input ends.
///
/// # Errors
/// One of them fails.
pub(crate) fn hold(clients: &mut Clients) -> Result<()> {
    // The connection that has been idle longest is asked first.
    for _ in 0..clients.len() {
        ask(clients)?;
    }
    done()?;
    for line in std::io::stdin().lock().lines() {
        line?;
    }
    Ok(())
}

/// One request and its answer.
fn ask(clients: &mut Clients) -> Result<()> {
    let mut finished = Vec::new();
    clients.start(Instant::now());
    clients.flush(&mut finished)?;
    let start = Instant::now();
    while finished.is_empty() {
        if start.elapsed() > ANSWER_TIMEOUT {
            bail!("no answer in {} s", ANSWER_TIMEOUT.as_secs());
        }
        clients.wait(Some(ANSWER_TIMEOUT), &mut finished)?;
        clients.flush(&mut finished)?;
    }
    match finished.pop().and_then(|finished| finished.failure) {
        Some(failure) => bail!("a request failed: {failure}"),
        None => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "the caller waits for it")]
fn done() -> Result<()> {
    println!("done");
    std::io::stdout().flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Arrivals, Pace, quantile_us};

    #[test]
    fn arrivals_of_an_open_loop_come_at_their_rate() {
        let start = Instant::now();
        let end = start + Duration::from_secs(10);
        let mut arrivals = Arrivals::new(Pace::Open { rate: 1000.0 }, start, end);
        arrivals.until(end);
        assert!((9_700..10_300).contains(&arrivals.queue.len()));
        assert!(arrivals.queue.iter().is_sorted());
    }

    #[test]
    fn quantile_of_nothing_is_zero_and_of_all_the_last() {
        assert!(quantile_us(&[], 0.5).abs() < f64::EPSILON);
        assert!((quantile_us(&[1000, 2000], 1.0) - 2.0).abs() < f64::EPSILON);
    }
}
