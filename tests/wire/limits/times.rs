//! How long things may take.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

use crate::bench::{Bench, SOON};

/// A head must be whole 10 s after it began.
const HEAD: std::ops::Range<Duration> = Duration::from_secs(8)..Duration::from_secs(14);

/// What the proxy says to a client that sends one byte a second, and after how long it ends the connection.
fn drip(address: SocketAddr, begin: &str) -> Result<(String, Duration)> {
    let started = Instant::now();
    let mut client = Raw::connect(address)?;
    client.send(begin)?;
    let mut answer = Vec::new();
    loop {
        let (ended, part) = client.end(Duration::from_secs(1))?;
        answer.extend(part);
        if ended != Ended::Open || started.elapsed() > Duration::from_secs(20) {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Ok((answer, started.elapsed()));
        }
        let _ = client.send("x");
    }
}

#[test]
fn head_that_never_ends_is_given_10_s() -> Result<()> {
    let bench = Bench::start()?;
    let neighbour = Steady::start(bench.address)?;
    let begins = [
        "GET /slow HTTP/1.1\r\nhost: a.test\r\nx: ",
        "GET /slow",
        "GET / HTTP/1.1\r\nhost: a.test\r\n\r\nGET /second HTTP/1.1\r\nx: ",
    ];
    let threads = begins.map(|begin| {
        let address = bench.address;
        std::thread::spawn(move || drip(address, begin))
    });
    for (thread, begin) in threads.into_iter().zip(begins) {
        let (answer, took) = thread.join().expect("a client")?;
        assert!(HEAD.contains(&took), "{begin:?}: ended after {took:?}");
        let last = answer.rsplit("HTTP/1.1 ").next().unwrap_or_default();
        assert!(
            last.is_empty() || last.starts_with("408 ") || last.starts_with("200 "),
            "{answer:?}"
        );
    }
    assert_eq!(
        bench.origin.count("/slow") + bench.origin.count("/second"),
        0
    );
    neighbour.assert_unaffected();
    Ok(())
}

/// A body of less than 240 bytes a second, over 10 s.
#[test]
fn body_that_trickles_is_answered_408() -> Result<()> {
    let bench = Bench::start()?;
    let begin = "POST /trickle HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\n";
    let (answer, took) = drip(bench.address, begin)?;
    assert!(
        answer.starts_with("HTTP/1.1 408 "),
        "{answer:?} after {took:?}"
    );
    assert!(
        (Duration::from_secs(8)..Duration::from_secs(19)).contains(&took),
        "{took:?}"
    );
    Ok(())
}

/// A slow body that is fast enough: 400 bytes a second.
#[test]
fn body_that_is_slow_but_steady_passes() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    client.send("POST /steady-body HTTP/1.1\r\nhost: a.test\r\ncontent-length: 6000\r\n\r\n")?;
    for _ in 0..15 {
        client.send([b'x'; 400])?;
        // The pace is what is tested.
        client.wait(Duration::from_secs(1))?;
    }
    assert_eq!(client.answer()?.status, 200);
    Ok(())
}

/// A port whose connections are never accepted: the kernel drops what comes.
struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn open() -> Result<Self> {
        let listener = TcpListener::bind(free_address()?)?;
        let address = listener.local_addr()?;
        // The queue of accepted connections gets room for one.
        socket2::SockRef::from(&listener).listen(0)?;
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
        }
        Ok(Self {
            listener,
            _waiting: waiting,
        })
    }
}

#[test]
fn endpoint_that_does_not_accept_is_given_the_connect_timeout() -> Result<()> {
    let (hole, address) = (BlackHole::open()?, free_address()?);
    let bootstrap = Bootstrap::http(address, &[hole.listener.local_addr()?]);
    let proxy = Proxy::start(&bootstrap)?;
    let descriptors = proxy.descriptors()?;
    let started = Instant::now();
    let mut client = Raw::connect(address)?;
    let answer = client.get("/")?;
    let took = started.elapsed();
    assert_eq!(answer.status, 503);
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    drop(client);
    aviary_tests::eventually("descriptors are given back", SOON, || {
        Ok(proxy.descriptors()? <= descriptors)
    })?;
    Ok(())
}

#[test]
fn connection_without_request_is_closed_after_its_idle_time() -> Result<()> {
    let bench = Bench::before(Origin::echo()?, |it| {
        it.manager(&json!({"common_http_protocol_options": {"idle_timeout": "1s"}}))
    })?;
    let mut fresh = Raw::connect(bench.address)?;
    let mut used = Raw::connect(bench.address)?;
    assert_eq!(used.get("/")?.status, 200);
    let started = Instant::now();
    for client in [&mut fresh, &mut used] {
        let (ended, rest) = client.end(SOON)?;
        assert_eq!((ended, rest.len()), (Ended::Closed, 0));
    }
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(700)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    Ok(())
}

#[test]
fn stream_that_is_idle_is_ended_and_others_are_not() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            if head.contains("/hang") {
                it.listen_to_end();
            }
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })?;
    let bench = Bench::before(origin, |it| {
        it.manager(&json!({"stream_idle_timeout": "1s"}))
            .route(&json!({"timeout": "0s"}))
    })?;
    let neighbour = Steady::start(bench.address)?;
    let started = Instant::now();
    let answer = Raw::connect(bench.address)?.get("/hang")?;
    let took = started.elapsed();
    // Source: Envoy, `stream_idle_timeout`: 408 unless the request was complete, then 504.
    assert!([408, 504].contains(&answer.status), "{}", answer.head);
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    neighbour.assert_unaffected();
    Ok(())
}

#[test]
fn route_timeout_holds_against_a_server_that_says_nothing() -> Result<()> {
    let origin = Origin::start(|mut it| it.listen_to_end())?;
    let bench = Bench::before(origin, |it| it.route(&json!({"timeout": "0.5s"})))?;
    for _ in 0..3 {
        let started = Instant::now();
        let mut client = Raw::connect(bench.address)?;
        let answer = client.get("/")?;
        let took = started.elapsed();
        assert_eq!(answer.status, 504);
        assert!(
            (Duration::from_millis(450)..Duration::from_secs(3)).contains(&took),
            "{took:?}"
        );
    }
    Ok(())
}
