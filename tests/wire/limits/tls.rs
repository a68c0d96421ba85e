//! How long a handshake may take.

use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::certificates::Authority;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

/// A handshake must be over after 10 s.
const HANDSHAKE: std::ops::Range<Duration> = Duration::from_secs(8)..Duration::from_secs(14);

#[test]
fn handshake_that_never_ends_is_given_10_s() -> Result<()> {
    let (origin, authority) = (Origin::echo()?, Authority::new()?);
    let (plain, secret) = (free_address()?, free_address()?);
    let bootstrap = Bootstrap::http(plain, &[origin.address()])
        .and_http(secret, &[origin.address()])
        .with_tls(&json!({"common_tls_context": {
            "tls_certificates": [authority.certificate("a.test")?],
        }}));
    let _proxy = Proxy::start(&bootstrap)?;
    let neighbour = Steady::start(plain)?;
    let started = Instant::now();
    // Nothing at all, and the beginning of a record of 512 bytes.
    let begins: [&[u8]; 2] = [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"];
    let mut clients = Vec::new();
    for begin in begins {
        let mut client = Raw::connect(secret)?;
        client.send(begin)?;
        clients.push(client);
    }
    for client in &mut clients {
        let (ended, _) = client.end(Duration::from_secs(20))?;
        assert_ne!(ended, Ended::Open);
        let took = started.elapsed();
        assert!(HANDSHAKE.contains(&took), "ended after {took:?}");
    }
    neighbour.assert_unaffected();
    Ok(())
}

/// What is no TLS is not answered, and nothing of it is forwarded.
#[test]
fn plain_text_where_tls_is_wanted_is_refused() -> Result<()> {
    let (origin, authority) = (Origin::echo()?, Authority::new()?);
    let address = free_address()?;
    let bootstrap = Bootstrap::http(address, &[origin.address()]).with_tls(&json!({
        "common_tls_context": {"tls_certificates": [authority.certificate("a.test")?]},
    }));
    let _proxy = Proxy::start(&bootstrap)?;
    let mut client = Raw::connect(address)?;
    client.send("GET /plain HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let (ended, answer) = client.end(Duration::from_secs(5))?;
    assert_ne!(ended, Ended::Open);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert_eq!(origin.count("/plain"), 0);
    Ok(())
}
