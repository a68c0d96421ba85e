//! What a proxy gives up as its memory fills.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Answer, Ended, Raw};
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

/// What the proxy gives up now, from 0 to 3.
fn level(proxy: &Proxy) -> Result<u8> {
    let text = Raw::connect(proxy.admin())?.get("/stats")?.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("overload.level: "));
    Ok(line.context("a line in /stats")?.parse()?)
}

/// Asks a proxy that is filled so far and stays at this level meanwhile: memory comes and goes.
fn ask_at(wanted: u8, percent: &Range<u64>, origin: &Origin, path: &str) -> Result<Answer> {
    for _ in 0..10 {
        let (proxy, address) = filled(origin, percent.clone())?;
        let before = level(&proxy)?;
        let answer = Raw::connect(address)?.get(path)?;
        if (before, level(&proxy)?) == (wanted, wanted) {
            return Ok(answer);
        }
    }
    bail!("memory does not stay at level {wanted}")
}

#[test]
fn memory_at_85_percent_keeps_no_connection() -> Result<()> {
    let answer = ask_at(1, &(86..91), &Origin::echo()?, "/")?;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
    Ok(())
}

#[test]
fn memory_at_92_percent_refuses_requests() -> Result<()> {
    let answer = ask_at(2, &(93..96), &Origin::echo()?, "/refused")?;
    assert_eq!(answer.status, 503, "{}", answer.head);
    let told = answer.field("x-envoy-overloaded").is_some();
    assert!(told, "{}", answer.head);
    Ok(())
}

#[test]
fn memory_at_96_percent_accepts_nobody_and_its_pages_tell() -> Result<()> {
    let (origin, address) = (Origin::echo()?, free_address()?);
    let start = Start {
        args: vec!["--memory-limit".to_owned(), "1MiB".to_owned()],
        ..Start::default()
    };
    let bootstrap = Bootstrap::http(address, &[origin.address()]);
    let proxy = Proxy::start_with(&bootstrap, &start)?;
    aviary_tests::eventually("it is full", SOON, || Ok(level(&proxy)? == 3))?;
    let mut client = Raw::connect(address)?;
    client.send("GET /waiting HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let (ended, answer) = client.end(Duration::from_secs(1))?;
    assert_eq!((ended, answer.len()), (Ended::Open, 0));
    assert_eq!(origin.count("/waiting"), 0);
    Ok(())
}
