//! How often requests are tried again.

use std::time::Instant;

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use serde_json::json;

use crate::bench::Bench;

/// Every request fails, and each may be tried three times again: a fifth of the requests is tried again,
/// and ten a second.
#[test]
fn f29_retries_are_at_most_a_fifth_and_ten_a_second() -> Result<()> {
    const REQUESTS: usize = 300;
    let origin = Origin::start(|mut it| {
        while it.head_with("/dead").is_some() {
            let _ = it.say("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n");
        }
    })?;
    let bench = Bench::before(origin, |it| {
        it.route(&json!({"retry_policy": {
            "retry_on": "5xx",
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.001s"},
        }}))
    })?;
    let started = Instant::now();
    let mut client = Raw::connect(bench.address)?;
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/dead")?.status, 503);
    }
    let seconds = usize::try_from(started.elapsed().as_secs())? + 2;
    let tries = bench.origin.count("GET /dead");
    println!("{REQUESTS} requests, {tries} tries, {seconds} s");
    let most = REQUESTS + REQUESTS / 5 + 10 * seconds;
    assert!(
        (REQUESTS + 10..=most).contains(&tries),
        "{tries} tries, at most {most}"
    );
    Ok(())
}
