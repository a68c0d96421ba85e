//! How many connections there may be, and how they end.

use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use aviary_tests::standalone::{Bootstrap, Proxy, Start, free_address};

use crate::bench::{Bench, SOON};

/// With 250 descriptors, 200 connections: the others are refused before descriptors run out, and those that
/// are served are served on.
#[test]
fn connections_beyond_the_descriptors_are_refused() -> Result<()> {
    let origin = Origin::echo()?;
    let address = free_address()?;
    let start = Start {
        files: Some(250),
        ..Start::default()
    };
    let proxy = Proxy::start_with(&Bootstrap::http(address, &[origin.address()]), &start)?;
    let mut served = Vec::new();
    for _ in 0..60 {
        let mut client = Raw::connect(address)?;
        assert_eq!(client.get("/")?.status, 200);
        served.push(client);
    }
    let mut more = Vec::new();
    let mut refused = 0;
    for _ in 0..240 {
        // The kernel connects; the proxy closes at once, or never accepts.
        let mut client = Raw::connect(address)?;
        if client.end(Duration::from_millis(20))?.0 == Ended::Open {
            more.push(client);
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 60, "{refused} of 300 connections were refused");
    assert!(proxy.descriptors()? < 250, "{}", proxy.descriptors()?);
    for client in &mut served {
        assert_eq!(client.get("/again")?.status, 200);
    }
    drop(more);
    aviary_tests::eventually("new connections are served again", SOON, || {
        Ok(Raw::connect(address)?
            .get("/new")
            .is_ok_and(|it| it.status == 200))
    })?;
    Ok(())
}

#[test]
fn drain_lets_an_open_stream_end() -> Result<()> {
    let origin = Origin::start(|mut it| {
        if it.head().is_none() {
            return;
        }
        let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        std::thread::park_timeout(Duration::from_secs(4));
        let _ = it.say("ok");
        it.listen_to_end();
    })?;
    let mut bench = Bench::before(origin, |it| it)?;
    let mut idle = Raw::connect(bench.address)?;
    let mut busy = Raw::connect(bench.address)?;
    busy.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let head = busy.head()?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let started = Instant::now();
    bench.proxy.terminate()?;
    assert_eq!(idle.end(SOON)?.0, Ended::Closed, "the idle connection");
    // It is given 2 s, because a request may be on its way.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(busy.take(2)?, b"ok");
    assert_eq!(busy.end(SOON)?.0, Ended::Closed);
    assert!(bench.proxy.wait(SOON)?.success());
    assert!(
        started.elapsed() > Duration::from_millis(3500),
        "it waited for the stream"
    );
    Ok(())
}

#[test]
fn drain_is_forced_after_its_limit_and_recorded() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let _ = it.head();
        let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        it.listen_to_end();
    })?;
    let address = free_address()?;
    let start = Start {
        args: vec!["--drain-limit".to_owned(), "3".to_owned()],
        ..Start::default()
    };
    let mut proxy = Proxy::start_with(&Bootstrap::http(address, &[origin.address()]), &start)?;
    let mut client = Raw::connect(address)?;
    client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    client.head()?;
    let started = Instant::now();
    proxy.terminate()?;
    proxy.wait(Duration::from_secs(15))?;
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(2500)..Duration::from_secs(9)).contains(&took),
        "{took:?}"
    );
    let log = proxy.log();
    assert!(log.contains("WARN"), "it is recorded: {log}");
    Ok(())
}
