//! F28: one to five times what the server can do, sent at its times whatever became of those before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

use super::callers::{Call, one, quantile};

/// The server works on so many requests at once …
const PLACES: usize = 8;
/// … for so long each: 160 a second.
const WORK: Duration = Duration::from_millis(50);
const CAPACITY: u32 = 160;

/// A server with so many places; who finds none waits.
fn busy() -> Result<Origin> {
    let free = Arc::new(AtomicUsize::new(PLACES));
    Origin::start(move |mut it| {
        while it.head().is_some() {
            let take = |free: usize| free.checked_sub(1);
            while free
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_err()
            {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            std::thread::park_timeout(WORK);
            free.fetch_add(1, Ordering::SeqCst);
            if it
                .say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
            {
                return;
            }
        }
    })
}

/// Sends so many requests a second for so long.
fn send(address: SocketAddr, rate: u32, time: Duration) -> Vec<Call> {
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    // As many as can be under way: they never wait for one another.
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let next = next.clone();
            std::thread::spawn(move || {
                let (mut calls, mut connection) = (Vec::new(), None);
                loop {
                    let number =
                        u32::try_from(next.fetch_add(1, Ordering::SeqCst)).unwrap_or(u32::MAX);
                    let due = Duration::from_secs(1) * number / rate;
                    if due >= time {
                        return calls;
                    }
                    let wait = due.saturating_sub(started.elapsed());
                    if !wait.is_zero() {
                        std::thread::park_timeout(wait);
                    }
                    calls.push(one(address, &mut connection, "GET", "/"));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().unwrap_or_default());
    }
    all
}

#[test]
fn f28_overload_is_refused_at_once_and_costs_no_goodput() -> Result<()> {
    const TIME: Duration = Duration::from_secs(3);
    let origin = busy()?;
    let address = free_address()?;
    let limits = json!({"circuit_breakers": {"thresholds": [
        {"max_connections": 16, "max_pending_requests": 1, "max_requests": 16, "max_retries": 1},
    ]}});
    let _proxy = Proxy::start(&Bootstrap::http(address, &[origin.address()]).cluster(&limits))?;
    let mut goodput = Vec::new();
    for times in [1, 2, 5] {
        let calls = send(address, CAPACITY * times, TIME);
        let (good, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(|it| it.status == 200);
        let (usual, slow) = (quantile(&refused, 0.5), quantile(&refused, 0.95));
        println!(
            "F28: {times} times: {} good, {} refused after {usual:?}, p95 {slow:?}",
            good.len(),
            refused.len()
        );
        assert!(
            refused.iter().all(|it| it.status == 503),
            "{:?}",
            refused.iter().find(|it| it.status != 503)
        );
        assert!(usual < Duration::from_millis(50), "refused after {usual:?}");
        // Now and then the machine is slow.
        assert!(slow < Duration::from_millis(500), "refused after {slow:?}");
        goodput.push(good.len());
    }
    let peak = goodput.iter().max().copied().unwrap_or_default();
    assert!(goodput[2] * 10 >= peak * 9, "{goodput:?}");
    // The load drops: all is well again.
    let calls = send(address, CAPACITY / 2, Duration::from_secs(2));
    let late = calls.iter().filter(|call| call.status != 200).count();
    assert!(
        late * 20 <= calls.len(),
        "{late} of {} still fail",
        calls.len()
    );
    Ok(())
}
