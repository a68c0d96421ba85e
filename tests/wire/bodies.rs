//! Bodies that nobody reads, bodies cut off, and requests tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use serde_json::json;

use crate::bench::{Bench, SOON};

/// The proxy answers without having read the body: what is left of it is no request.
#[test]
fn cve_2025_4366_unread_body_is_no_request() -> Result<()> {
    let bench = Bench::before(Origin::echo()?, |it| {
        it.manager(&json!({"route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [
                {"match": {"prefix": "/direct"}, "direct_response": {"status": 403, "body": {"inline_string": "no"}}},
                {"match": {"prefix": "/there"}, "redirect": {"path_redirect": "/here"}},
                {"match": {"prefix": "/ok"}, "route": {"cluster": "up-0"}},
            ],
        }]}}))
    })?;
    let hidden = "GET /ok/smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
    for path in ["/direct", "/there", "/none"] {
        for body in [
            format!("content-length: {}\r\n\r\n{hidden}", hidden.len()),
            format!(
                "transfer-encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
                hidden.len()
            ),
        ] {
            let mut client = Raw::connect(bench.address)?;
            let answer = client.ask(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n{body}"))?;
            assert!([301, 403, 404].contains(&answer.status), "{}", answer.head);
            // Either the connection is at its end, or the body was skipped and the next request is the next.
            match client.get("/ok/next") {
                Ok(next) => assert_eq!((next.status, next.text().as_str()), (200, "ok")),
                Err(_) => assert!(
                    answer
                        .head
                        .to_ascii_lowercase()
                        .contains("connection: close")
                ),
            }
        }
    }
    assert_eq!(bench.origin.count("smuggled"), 0);
    Ok(())
}

/// The body comes only after the answer, or never.
#[test]
fn cve_2025_4366_body_after_the_answer_is_no_request() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            let _ = it.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno");
            if it.body(&head).is_none() {
                return;
            }
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let hidden = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let mut client = Raw::connect(bench.address)?;
    client.send(format!(
        "POST /upload HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        hidden.len()
    ))?;
    assert_eq!(client.answer()?.status, 413);
    let _ = client.send(hidden);
    let _ = client.send("GET /next HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let (_, rest) = client.end(SOON)?;
    let answers = String::from_utf8_lossy(&rest).matches("HTTP/1.1 ").count();
    assert!(answers <= 1, "{answers} answers to one request");
    // As a body it may arrive, after its head; never at the start of a connection or after another request.
    let heard = bench.origin.heard().join("|");
    assert!(
        !heard
            .replace("\r\n\r\nGET /smuggled", "")
            .contains("/smuggled"),
        "{heard}"
    );
    assert!(heard.matches("POST /upload").count() >= heard.matches("/smuggled").count());
    Ok(())
}

/// A client that goes away within its body: the server learns it, and does not take it for whole.
#[test]
fn body_cut_off_by_the_client_is_cut_off_at_the_server() -> Result<()> {
    let ends = Arc::new(AtomicUsize::new(0));
    let counter = ends.clone();
    let origin = Origin::start(move |mut it| {
        while let Some(head) = it.head() {
            if it.body(&head).is_none() {
                counter.fetch_add(1, Ordering::SeqCst);
                return;
            }
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    for framing in [
        "content-length: 1000\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ] {
        let before = ends.load(Ordering::SeqCst);
        let mut client = Raw::connect(bench.address)?;
        client.send(format!("POST /cut HTTP/1.1\r\nhost: a.test\r\n{framing}"))?;
        aviary_tests::eventually("the server has the beginning", SOON, || {
            Ok(bench.origin.count("POST /cut") > before)
        })?;
        drop(client);
        aviary_tests::eventually("the server sees the end", SOON, || {
            Ok(ends.load(Ordering::SeqCst) > before)
        })?;
    }
    neighbour.assert_unaffected();
    Ok(())
}

/// A server that reads a request and then resets: GET is tried again once, POST never.
#[test]
fn request_that_reached_the_server_is_tried_again_only_if_safe() -> Result<()> {
    let origin = Origin::start(|mut it| {
        if let Some(head) = it.head() {
            let _ = it.body(&head);
        }
        it.reset();
    })?;
    let bench = Bench::before(origin, |it| {
        it.route(&json!({"retry_policy": {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 2}}))
            .with_guarded_retries()
    })?;
    let mut client = Raw::connect(bench.address)?;
    let answer =
        client.ask("POST /order HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi")?;
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    assert_eq!(bench.origin.count("POST /order"), 1, "never twice");
    let answer = client.ask("GET /read HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    assert_eq!(bench.origin.count("GET /read"), 3, "twice again");
    Ok(())
}

/// A server that closes a pooled connection just when a request leaves: the request finds another one.
#[test]
fn pooled_connection_that_closed_costs_no_request() -> Result<()> {
    let origin = Origin::start(|mut it| {
        // One answer each, and no word about closing.
        if it.head().is_some() {
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let mut client = Raw::connect(bench.address)?;
    for number in 0..100 {
        let answer = client.get("/pooled")?;
        assert_eq!(answer.status, 200, "request {number}: {}", answer.head);
    }
    assert_eq!(
        client.end(std::time::Duration::from_millis(1))?.0,
        Ended::Open
    );
    Ok(())
}

/// A client that reads nothing: the proxy reads from the server only what it can hold.
#[test]
fn answer_that_nobody_reads_is_not_kept() -> Result<()> {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let origin = Origin::start(move |mut it| {
        let Some(_) = it.head_with("/large") else {
            return;
        };
        let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n");
        let part = vec![b'x'; 64 * 1024];
        while it.say(&part).is_ok() {
            counter.fetch_add(part.len(), Ordering::SeqCst);
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Raw::connect(bench.address)?;
        client.send("GET /large HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
        clients.push(client);
    }
    let mut last = 0;
    aviary_tests::eventually("the servers can send no more", SOON * 3, || {
        let now = sent.load(Ordering::SeqCst);
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        let still = now > 0 && now == last;
        last = now;
        Ok(still)
    })?;
    let peak = bench.proxy.memory()?.peak_kib;
    assert_eq!(clients.len(), 20);
    assert!(
        peak < before + 20 * 256 + 2048,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(())
}

/// A server that reads nothing: the proxy reads from the client only what it can hold.
#[test]
fn upload_that_nobody_reads_is_not_kept() -> Result<()> {
    let origin = Origin::start(move |mut it| {
        let Some(_) = it.head_with("/upload") else {
            return;
        };
        // It holds the connection and does not read.
        std::thread::park_timeout(SOON * 2);
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Raw::connect(bench.address)?;
        client
            .send("POST /upload HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1073741824\r\n\r\n")?;
        client
            .stream()
            .set_write_timeout(Some(std::time::Duration::from_millis(300)))?;
        let part = vec![b'x'; 1 << 20];
        while client.send(&part).is_ok() {}
        clients.push(client);
    }
    let peak = bench.proxy.memory()?.peak_kib;
    assert_eq!(clients.len(), 8);
    assert!(
        peak < before + 8 * 256 + 2048,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(())
}
