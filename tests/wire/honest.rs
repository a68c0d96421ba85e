//! What is right, however odd it looks, passes.

use std::time::Duration;

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

use crate::bench::{Bench, SOON, fields};

#[test]
fn hundred_fields_pass_as_they_are() -> Result<()> {
    let bench = Bench::start()?;
    let fields = fields(100, "Value");
    let request = format!("GET /fields HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let answer = Raw::connect(bench.address)?.ask(request)?;
    assert_eq!(answer.status, 200);
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    assert!(heard.contains(&fields.to_ascii_lowercase()), "{heard}");
    Ok(())
}

#[test]
fn head_of_60_kib_passes() -> Result<()> {
    let bench = Bench::start()?;
    let value = "v".repeat(15 * 1024 - 40);
    let fields = fields(4, &value);
    let request = format!("GET /head HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n");
    let mut client = Raw::connect(bench.address)?;
    for _ in 0..3 {
        assert_eq!(client.ask(&request)?.status, 200);
    }
    client.send_in_pieces(&request, 997)?;
    assert_eq!(client.answer()?.status, 200);
    assert_eq!(bench.origin.count(&value), 16);
    Ok(())
}

#[test]
fn target_of_15_kib_passes() -> Result<()> {
    let bench = Bench::start()?;
    let path = format!("/{}?q={}", "p".repeat(10_000), "q".repeat(5_000));
    let answer = Raw::connect(bench.address)?.get(&path)?;
    assert_eq!((answer.status, bench.origin.count(&path)), (200, 1));
    Ok(())
}

#[test]
fn request_byte_by_byte_passes() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    for _ in 0..3 {
        client.send_in_pieces(
            "POST /bytes HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\nX-A:  b \r\n\r\nhello world",
            1,
        )?;
        let answer = client.answer()?;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello world")
        );
    }
    Ok(())
}

#[test]
fn pipeline_of_32_is_answered_in_order() -> Result<()> {
    let bench = Bench::start()?;
    let request = |n: usize| {
        let body = format!("number {n}");
        if n.is_multiple_of(3) {
            let length = body.len();
            return format!(
                "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            );
        }
        format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let all: String = (0..32).map(request).collect();
    for size in [all.len(), 17] {
        let mut client = Raw::connect(bench.address)?;
        client.send_in_pieces(&all, size)?;
        for n in 0..32 {
            let answer = client.answer()?;
            assert_eq!((answer.status, answer.text()), (200, format!("number {n}")));
        }
    }
    Ok(())
}

#[test]
fn empty_lines_before_a_request_are_skipped() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    // Source: RFC 9112 §2.2.
    for _ in 0..2 {
        let answer = client.ask("\r\n\r\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
        assert_eq!(answer.status, 200);
    }
    Ok(())
}

/// The server says go on only when it has seen the head, and the client sends its body only then.
#[test]
fn expect_100_continue_is_answered_before_the_body() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
        )?;
        assert_eq!(client.answer()?.status, 100);
        let answer = client.ask("body")?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    }
    Ok(())
}

#[test]
fn trailers_pass_both_ways() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            if it.body(&head).is_none() {
                return;
            }
            let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                          5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
            let _ = it.say(answer);
        }
    })?;
    let bench = Bench::before(origin, |it| {
        it.manager(&json!({"http_protocol_options": {"enable_trailers": true}}))
            .over_http1_with_trailers()
    })?;
    let request = "POST / HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-Mine: 7\r\n\r\n";
    let answer = Raw::connect(bench.address)?.ask(request)?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.trailers, ["x-sum: 42"]);
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    assert!(heard.ends_with("0\r\nx-mine: 7\r\n\r\n"), "{heard}");
    Ok(())
}

/// Answers without a body, by method and status, and what follows them on the connection.
#[test]
fn answers_without_body_leave_the_connection_in_step() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while let Some(head) = it.head() {
            let answer = match head.split(' ').nth(1) {
                Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/304") => {
                    "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\netag: x\r\n\r\n"
                }
                Some("/head") => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
                Some("/head-chunked") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                Some("/103") => {
                    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                }
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            };
            let _ = it.say(answer);
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let mut client = Raw::connect(bench.address)?;
    for (method, path, status) in [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/head", 200),
        ("HEAD", "/head-chunked", 200),
        ("GET", "/", 200),
        ("HEAD", "/204", 204),
        ("DELETE", "/204", 204),
        ("OPTIONS", "/", 200),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"))?;
        let answer = client.answer_to(method)?;
        assert_eq!(answer.status, status, "{method} {path}");
        if path == "/head" {
            assert_eq!(answer.field("content-length"), Some("10"));
        }
    }
    // Information before the answer is passed on or left out, and never taken for the answer.
    client.send("GET /103 HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let mut answer = client.answer()?;
    if answer.status == 103 {
        answer = client.answer()?;
    }
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(client.get("/")?.status, 200);
    assert_eq!(bench.origin.connections(), 1, "one connection sufficed");
    Ok(())
}

#[test]
fn answer_until_the_end_of_the_connection_is_whole() -> Result<()> {
    let origin = Origin::start(|mut it| {
        if it.head().is_some() {
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
            for _ in 0..100 {
                let _ = it.say([b'x'; 1000]);
            }
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let mut client = Raw::connect(bench.address)?;
    for _ in 0..3 {
        let answer = client.get("/")?;
        assert_eq!((answer.status, answer.body.len()), (200, 100_000));
    }
    Ok(())
}

#[test]
fn keep_alive_follows_version_and_field() -> Result<()> {
    let bench = Bench::for_old_clients()?;
    for (request, stays) in [
        ("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", true),
        (
            "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a.test\r\nConnection: Close\r\n\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: x-a, close\r\n\r\n",
            false,
        ),
        ("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n", false),
        (
            "GET / HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\n\r\n",
            true,
        ),
    ] {
        let mut client = Raw::connect(bench.address)?;
        let answer = client.ask(request)?;
        assert_eq!(answer.status, 200, "{request:?}");
        if stays {
            assert_eq!(client.ask(request)?.status, 200, "{request:?}");
        } else {
            assert_eq!(client.end(SOON)?.0, Ended::Closed, "{request:?}");
        }
    }
    Ok(())
}

/// An old client cannot read chunks: it gets the body until the end of the connection.
#[test]
fn http_1_0_client_gets_no_chunks() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while it.head().is_some() {
            let _ = it.say(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            );
        }
    })?;
    let bench = Bench::before(origin, |it| {
        it.manager(&json!({"http_protocol_options": {"accept_http_10": true}}))
    })?;
    let mut client = Raw::connect(bench.address)?;
    let answer = client.ask("GET / HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\n\r\n")?;
    assert_eq!(answer.field("transfer-encoding"), None, "{}", answer.head);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    Ok(())
}

/// What concerns one connection only is not passed on.
#[test]
fn fields_of_one_hop_are_not_forwarded() -> Result<()> {
    let bench = Bench::start()?;
    let request = "GET /hop HTTP/1.1\r\nhost: a.test\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\n\
                   keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nx-other: 2\r\n\r\n";
    assert_eq!(Raw::connect(bench.address)?.ask(request)?.status, 200);
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    for name in ["x-mine", "keep-alive:", "proxy-connection"] {
        assert!(!heard.contains(name), "{name}: {heard}");
    }
    assert!(heard.contains("x-other: 2\r\n"), "{heard}");
    Ok(())
}

/// `Connection` takes away neither the host nor the framing.
#[test]
fn connection_naming_host_or_length_changes_nothing() -> Result<()> {
    let bench = Bench::start()?;
    let request = "POST /named HTTP/1.1\r\nhost: a.test\r\nconnection: host, content-length, x-forwarded-for\r\n\
                   content-length: 2\r\n\r\nhi";
    let answer = Raw::connect(bench.address)?.ask(request)?;
    if answer.status == 200 {
        assert_eq!(answer.text(), "hi");
        let heard = bench.origin.heard().concat().to_ascii_lowercase();
        assert!(heard.contains("host: a.test\r\n"), "{heard}");
    } else {
        assert_eq!(answer.status, 400);
    }
    Ok(())
}

/// A client that will send no more still gets its answer.
#[test]
fn half_closed_client_is_answered() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while it.head().is_some() {
            std::thread::park_timeout(Duration::from_millis(200));
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let mut client = Raw::connect(bench.address)?;
    client.send("GET /half HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    client.finish()?;
    let answer = client.answer()?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert_eq!(client.end(SOON)?.0, Ended::Closed);
    Ok(())
}

/// A body that comes back while it is still being sent.
#[test]
fn body_passes_both_ways_at_once() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let Some(_) = it.head() else { return };
        let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n");
        for _ in 0..300 {
            let Some(part) = it.take(1000) else { return };
            let _ = it.say(part);
        }
        it.listen_to_end();
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let mut client = Raw::connect(bench.address)?;
    client.send("POST /both HTTP/1.1\r\nhost: a.test\r\ncontent-length: 300000\r\n\r\n")?;
    let head = client.head()?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for part in 0..300u16 {
        let sent = part.to_be_bytes().repeat(500);
        client.send(&sent)?;
        assert_eq!(client.take(1000)?, sent);
    }
    Ok(())
}

/// A proxy that has one listener and no server yet refuses, and serves when the server is there.
#[test]
fn server_that_comes_later_is_found() -> Result<()> {
    let (server, address) = (free_address()?, free_address()?);
    let _proxy = Proxy::start(&Bootstrap::http(address, &[server]))?;
    let mut client = Raw::connect(address)?;
    assert_eq!(client.get("/")?.status, 503);
    let _origin = Origin::start_at(server, aviary_tests::origin::echo)?;
    assert_eq!(client.get("/")?.status, 200);
    Ok(())
}
