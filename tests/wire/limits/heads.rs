//! How much a head may hold.

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::raw::{Ended, Raw};

use crate::bench::{Bench, SOON, fields};

/// Sends `request` and gives the status; asserts that nothing was forwarded and the connection ended.
fn refused(bench: &Bench, request: &[u8]) -> Result<u16> {
    let before = bench.origin.bytes();
    let mut client = Raw::connect(bench.address)?;
    let _ = client.send(request);
    let (ended, answer) = client.end(SOON)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert_ne!(ended, Ended::Open, "{answer:?}");
    assert_eq!(bench.origin.bytes(), before, "nothing is forwarded");
    Ok(answer
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or_default())
}

fn with_fields(fields: &str) -> Vec<u8> {
    format!("GET /large HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n").into_bytes()
}

#[test]
fn head_over_64_kib_is_answered_431() -> Result<()> {
    let bench = Bench::start()?;
    let value = "v".repeat(17 * 1024);
    let fields = fields(4, &value);
    assert_eq!(refused(&bench, &with_fields(&fields))?, 431);
    // One field, and one line that never ends.
    let one = format!("x-large: {}\r\n", "v".repeat(66 * 1024));
    assert_eq!(refused(&bench, &with_fields(&one))?, 431);
    let endless = format!(
        "GET / HTTP/1.1\r\nhost: a.test\r\nx: {}",
        "v".repeat(70 * 1024)
    );
    assert_eq!(refused(&bench, endless.as_bytes())?, 431);
    Ok(())
}

#[test]
fn more_than_128_fields_are_answered_431() -> Result<()> {
    let bench = Bench::start()?;
    let answer = Raw::connect(bench.address)?.ask(with_fields(&fields(127, "v")))?;
    assert_eq!(answer.status, 200);
    assert_eq!(refused(&bench, &with_fields(&fields(128, "v")))?, 431);
    assert_eq!(refused(&bench, &with_fields(&fields(5000, "v")))?, 431);
    Ok(())
}

#[test]
fn target_over_16_kib_is_answered_414() -> Result<()> {
    let bench = Bench::start()?;
    for path in [
        format!("/{}", "p".repeat(17 * 1024)),
        format!("/?{}", "q".repeat(17 * 1024)),
        format!("/{}", "%41".repeat(10 * 1024)),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(refused(&bench, request.as_bytes())?, 414);
    }
    // A target that never ends is as bad.
    let endless = format!("GET /{}", "p".repeat(70 * 1024));
    let status = refused(&bench, endless.as_bytes())?;
    assert!([414, 431].contains(&status), "{status}");
    Ok(())
}

/// A hundred endless heads at once: what is held is a head each, not what was sent.
#[test]
fn endless_heads_hold_bounded_memory() -> Result<()> {
    let bench = Bench::start()?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let part = vec![b'v'; 1 << 20];
    for _ in 0..100 {
        let mut client = Raw::connect(bench.address)?;
        client.send("GET / HTTP/1.1\r\nhost: a.test\r\nx: ")?;
        // It is closed long before the end of this.
        let _ = client.send(&part);
        let (ended, _) = client.end(SOON)?;
        assert_ne!(ended, Ended::Open);
    }
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 16 * 1024, "{before} KiB before, {peak} KiB");
    neighbour.assert_unaffected();
    Ok(())
}
