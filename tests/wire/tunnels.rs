//! Upgrades: a tunnel opens when the server has agreed, and not before.

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::{Ended, Raw};
use aviary_tests::standalone::Bootstrap;
use serde_json::json;

use crate::bench::{Bench, SOON};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

fn websocket(bootstrap: Bootstrap) -> Bootstrap {
    bootstrap.manager(&json!({"upgrade_configs": [{"upgrade_type": "websocket"}]}))
}

/// A server that agrees and then gives back what it gets, each byte plus one.
fn agreeing() -> Result<Origin> {
    Origin::start(|mut it| {
        let Some(_) = it.head() else { return };
        let _ = it.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello");
        while let Some(byte) = it.take(1) {
            let _ = it.say([byte[0].wrapping_add(1)]);
        }
    })
}

#[test]
fn tunnel_carries_bytes_both_ways() -> Result<()> {
    let bench = Bench::before(agreeing()?, websocket)?;
    let mut client = Raw::connect(bench.address)?;
    client.send(UPGRADE)?;
    let head = client.head()?;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.take(5)?, b"hello");
    client.send(b"\x00\xfeabc")?;
    assert_eq!(client.take(5)?, b"\x01\xffbcd");
    client.finish()?;
    assert_eq!(client.end(SOON)?.0, Ended::Closed);
    Ok(())
}

/// What the client sends along with its request waits until the server has agreed.
#[test]
fn bytes_before_the_agreement_reach_the_server_after_it() -> Result<()> {
    let bench = Bench::before(agreeing()?, websocket)?;
    let mut client = Raw::connect(bench.address)?;
    client.send(format!("{UPGRADE}abc"))?;
    let head = client.head()?;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.take(8)?, b"hellobcd");
    Ok(())
}

/// The server does not agree: what follows is a request like any other, and is judged as one.
#[test]
fn cve_2026_2833_bytes_after_a_refused_upgrade_are_no_tunnel() -> Result<()> {
    for status in ["200 OK", "400 Bad Request", "426 Upgrade Required"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
        let origin = Origin::start(move |mut it| {
            while it.head().is_some() {
                let _ = it.say(&answer);
            }
        })?;
        let bench = Bench::before(origin, websocket)?;
        let mut client = Raw::connect(bench.address)?;
        // As bytes of a tunnel this would be a request of its own; as a request it is refused.
        client.send(format!(
            "{UPGRADE}GET /smuggled HTTP/1.1\r\nx-no-host: 1\r\n\r\n"
        ))?;
        let (ended, text) = client.end(SOON)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_ne!(ended, Ended::Open, "{text:?}");
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text:?}");
        assert_eq!(bench.origin.count("/smuggled"), 0, "{text:?}");
    }
    Ok(())
}

/// A protocol that the configuration does not name is not offered to the server.
#[test]
fn upgrade_to_another_protocol_opens_no_tunnel() -> Result<()> {
    for protocol in ["h2c", "tls/1.0", "anything"] {
        let bench = Bench::before(Origin::echo()?, websocket)?;
        let mut client = Raw::connect(bench.address)?;
        client.send(format!(
            "GET /other HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade, http2-settings\r\nupgrade: {protocol}\r\n\
             http2-settings: AAMAAABkAAQAAP__\r\n\r\nGET /smuggled HTTP/1.1\r\nx-no-host: 1\r\n\r\n"
        ))?;
        let (ended, text) = client.end(SOON)?;
        assert_ne!(ended, Ended::Open);
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains("101"), "{text:?}");
        let heard = bench.origin.heard().concat().to_ascii_lowercase();
        assert!(
            !heard.contains("upgrade") && !heard.contains("/smuggled"),
            "{heard:?}"
        );
    }
    Ok(())
}

/// 101 without having been asked is no answer.
#[test]
fn agreement_nobody_asked_for_is_refused() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let _ = it.head();
        let _ = it.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw");
        it.listen_to_end();
    })?;
    let bench = Bench::before(origin, websocket)?;
    let answer = Raw::connect(bench.address)?.get("/")?;
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    Ok(())
}

#[test]
fn tunnel_by_connect_is_not_opened() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    client.send("CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let answer = client.answer()?;
    assert!((400..500).contains(&answer.status), "{}", answer.head);
    client.end(SOON)?;
    assert_eq!(bench.origin.count("CONNECT"), 0);
    Ok(())
}
