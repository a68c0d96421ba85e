//! Servers that answer out of form, or more than they were asked for.

use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::frames::{END_HEADERS, Frame, kind};
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use serde_json::json;

use crate::bench::{Bench, SOON};

/// Answers whose framing could be read differently, or that are none.
const BROKEN: &[(&str, &[u8])] = &[
    ("length and chunked", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 2\r\n\r\nhello"),
    ("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello"),
    ("chunked twice", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("a folded value", b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 5\r\n\r\nhello"),
    ("CR in a value", b"HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 5\r\n\r\nhello"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 5\r\n\r\nhello"),
    ("a blank before the colon", b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello"),
    ("an empty name", b"HTTP/1.1 200 OK\r\n: b\r\ncontent-length: 5\r\n\r\nhello"),
    ("no status", b"HTTP/1.1 OK\r\ncontent-length: 5\r\n\r\nhello"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\nhello"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\ncontent-length: 5\r\n\r\nhello"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ("no head at all", b"<html>hello</html>\r\n\r\n"),
];

#[test]
fn answer_out_of_form_is_not_passed_on() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head_with("/case-") {
            let number = head.split(['-', ' ']).nth(2).and_then(|it| it.parse().ok());
            let case: Option<&(&str, &[u8])> = number.and_then(|it: usize| BROKEN.get(it));
            let Some((_, answer)) = case else { return };
            let _ = it.say(answer);
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let mut faults = Vec::new();
    for (number, (name, _)) in BROKEN.iter().enumerate() {
        let mut client = Raw::connect(bench.address)?;
        let answer = client.get(&format!("/case-{number}"))?;
        if ![502, 503].contains(&answer.status) {
            faults.push(format!("{name}: {}", answer.head));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    neighbour.assert_unaffected();
    Ok(())
}

#[test]
fn answer_head_over_64_kib_is_not_passed_on() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while it.head_with("/large").is_some() {
            let _ = it.say(format!(
                "HTTP/1.1 200 OK\r\nx: {}\r\n",
                "v".repeat(80 * 1024)
            ));
            let _ = it.say("content-length: 2\r\n\r\nok");
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    for _ in 0..50 {
        let answer = Raw::connect(bench.address)?.get("/large")?;
        assert!([502, 503].contains(&answer.status), "{}", answer.status);
    }
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 8 * 1024, "{before} KiB before, {peak} KiB");
    neighbour.assert_unaffected();
    Ok(())
}

/// What a server says beyond its answer is never the next client's answer.
#[test]
fn answer_beyond_the_answer_reaches_nobody() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            let more = if head.contains("/poison") {
                "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned"
            } else {
                ""
            };
            let _ = it.say(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{more}"
            ));
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    for _ in 0..20 {
        let answer = Raw::connect(bench.address)?.get("/poison")?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let answer = Raw::connect(bench.address)?.get("/next")?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    Ok(())
}

/// The same, a moment after the answer.
#[test]
fn answer_nobody_asked_for_reaches_nobody() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            if head.contains("/poison") {
                std::thread::park_timeout(Duration::from_millis(30));
                let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned");
            }
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    for _ in 0..10 {
        assert_eq!(Raw::connect(bench.address)?.get("/poison")?.text(), "ok");
        std::thread::park_timeout(Duration::from_millis(60));
        assert_eq!(Raw::connect(bench.address)?.get("/next")?.text(), "ok");
    }
    Ok(())
}

/// A server that keeps what is asked at `/late` waiting, and answers it when something else comes on the
/// same connection.
fn late() -> Result<Origin> {
    Origin::start(|mut it| {
        let mut owes = false;
        while let Some(head) = it.head() {
            let owed = std::mem::replace(&mut owes, head.contains("/late"));
            if owed {
                let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
            } else if !owes {
                let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    })
}

/// A connection whose answer is still to come, when nobody waits for it any more, is not used again.
#[test]
fn answer_to_a_request_that_timed_out_reaches_nobody() -> Result<()> {
    let bench = Bench::before(late()?, |it| it.route(&json!({"timeout": "0.3s"})))?;
    for _ in 0..5 {
        assert_eq!(Raw::connect(bench.address)?.get("/late")?.status, 504);
        let answer = Raw::connect(bench.address)?.get("/next")?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    Ok(())
}

/// The same, when the next request on the connection would be the same request's next try.
#[test]
fn answer_to_a_try_that_timed_out_is_not_that_of_the_next() -> Result<()> {
    let bench = Bench::before(late()?, |it| {
        it.route(&json!({"timeout": "10s", "retry_policy": {
            "retry_on": "5xx", "num_retries": 2, "per_try_timeout": "0.3s",
        }}))
    })?;
    let answer = Raw::connect(bench.address)?.get("/late")?;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(bench.origin.count("/late"), 3);
    assert_eq!(Raw::connect(bench.address)?.get("/next")?.text(), "ok");
    Ok(())
}

/// The same, when the client did not wait.
#[test]
fn answer_to_a_client_that_left_reaches_nobody() -> Result<()> {
    let bench = Bench::before(late()?, |it| it)?;
    for number in 1..6 {
        let mut client = Raw::connect(bench.address)?;
        client.send("GET /late HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
        let started = Instant::now();
        while bench.origin.count("/late") < number && started.elapsed() < SOON {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        drop(client);
        for _ in 0..5 {
            assert_eq!(Raw::connect(bench.address)?.get("/next")?.text(), "ok");
        }
    }
    Ok(())
}

/// A body that ends early must not look whole to the client.
#[test]
fn answer_cut_off_by_the_server_is_cut_off_at_the_client() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let Some(head) = it.head() else { return };
        let _ = it.say(if head.contains("/chunked") {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        } else if head.contains("/garbage") {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"
        } else {
            "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf"
        });
    })?;
    let bench = Bench::before(origin, |it| it)?;
    for path in ["/chunked", "/garbage", "/length"] {
        let mut client = Raw::connect(bench.address)?;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"))?;
        let (ended, text) = client.end(SOON)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_ne!(ended, Ended::Open, "{path}: {text:?}");
        let whole = text.ends_with("0\r\n\r\n") || text.contains("content-length: 4\r\n");
        assert!(!whole, "{path}: {text:?}");
    }
    Ok(())
}

/// Information without end is not waited for, and not kept.
#[test]
fn flood_of_information_is_cut_off() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while it.head_with("/flood").is_some() {
            let part = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100);
            while it.say(&part).is_ok() {}
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let mut client = Raw::connect(bench.address)?;
    client.send("GET /flood HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let (ended, text) = client.end(SOON)?;
    let tail = String::from_utf8_lossy(&text).into_owned();
    assert!(
        ended != Ended::Open || tail.contains("HTTP/1.1 50"),
        "{} bytes",
        tail.len()
    );
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 8 * 1024, "{before} KiB before, {peak} KiB");
    neighbour.assert_unaffected();
    Ok(())
}

/// The same by HTTP/2.
#[test]
fn flood_of_information_by_http_2_is_cut_off() -> Result<()> {
    let origin = Origin::start(|mut it| {
        it.keep_nothing();
        let settings = Frame::new(kind::SETTINGS, 0, 0, []).bytes();
        // `:status: 103`, with the name of entry 8.
        let block = b"\x08\x03103".to_vec();
        let information = Frame::new(kind::HEADERS, END_HEADERS, 1, block).bytes();
        let _ = it.say(settings);
        // The client's preface and its first frames.
        let _ = it.take(100);
        let part = information.repeat(1000);
        while it.say(&part).is_ok() {}
    })?;
    let bench = Bench::before(origin, aviary_tests::standalone::Bootstrap::over_http2)?;
    let before = bench.proxy.forget_peak()?;
    let started = Instant::now();
    let answer = Raw::connect(bench.address)?.get("/flood")?;
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 8 * 1024, "{before} KiB before, {peak} KiB");
    Ok(())
}
