//! What a proxy gives up as its memory fills.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::{Bootstrap, Proxy, Start, free_address};

use crate::bench::SOON;

/// Starts a proxy that holds so many percent of the memory it may have.
fn filled(origin: &Origin, percent: Range<u64>) -> Result<(Proxy, SocketAddr)> {
    let address = free_address()?;
    let bootstrap = Bootstrap::http(address, &[origin.address()]);
    let mut held = {
        let proxy = Proxy::start(&bootstrap)?;
        Raw::connect(address)?.get("/")?;
        proxy.memory()?.resident_kib
    };
    for _ in 0..5 {
        let middle = u64::midpoint(percent.start, percent.end);
        let limit = held * 100 / middle;
        let start = Start {
            args: vec!["--memory-limit".to_owned(), format!("{limit}KiB")],
            ..Start::default()
        };
        let proxy = Proxy::start_with(&bootstrap, &start)?;
        // It looks once a second.
        std::thread::park_timeout(Duration::from_millis(1500));
        held = proxy.memory()?.resident_kib;
        if percent.contains(&(held * 100 / limit)) {
            return Ok((proxy, address));
        }
    }
    bail!("memory differs from start to start")
}

#[test]
fn memory_at_85_percent_keeps_no_connection() -> Result<()> {
    let origin = Origin::echo()?;
    let (_proxy, address) = filled(&origin, 86..91)?;
    let answer = Raw::connect(address)?.get("/")?;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
    Ok(())
}

#[test]
fn memory_at_92_percent_refuses_requests() -> Result<()> {
    let origin = Origin::echo()?;
    let (_proxy, address) = filled(&origin, 93..96)?;
    let answer = Raw::connect(address)?.get("/refused")?;
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert!(
        answer.field("x-envoy-overloaded").is_some(),
        "{}",
        answer.head
    );
    assert_eq!(origin.count("/refused"), 0);
    Ok(())
}

#[test]
fn memory_at_96_percent_accepts_nobody_and_its_pages_tell() -> Result<()> {
    let origin = Origin::echo()?;
    let (proxy, address) = filled(&origin, 98..130)?;
    let mut client = Raw::connect(address)?;
    client.send("GET /waiting HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let (ended, answer) = client.end(Duration::from_secs(1))?;
    assert_eq!((ended, answer.len()), (aviary_tests::raw::Ended::Open, 0));
    assert_eq!(origin.count("/waiting"), 0);
    aviary_tests::eventually("the level is told", SOON, || {
        let page = Raw::connect(proxy.admin())?.get("/stats")?;
        Ok(page.text().contains("overload.level: 3"))
    })?;
    Ok(())
}
