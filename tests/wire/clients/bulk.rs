//! Large bodies: they stream, and hardly any of them is held.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;

use super::chain::{Chain, First, Hop};

/// How large the bodies are, in MiB; `AVIARY_TEST_BODY_MIB=1024` makes a longer run. What is held does
/// not depend on it.
const MIB: u64 = 64;
/// What a stream may hold in a proxy, and what else may grow meanwhile.
const HELD_KIB: u64 = 256 + 256;

/// A server that takes uploads and gives downloads of the size that the path names, and keeps nothing.
fn depot() -> Result<Origin> {
    Origin::start(|mut it| {
        it.keep_nothing();
        let part = vec![b'x'; 256 * 1024];
        while let Some(head) = it.head() {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let size = path.rsplit('/').next().and_then(|it| it.parse().ok());
            let Some(size) = size.filter(|_| head.starts_with("GET ")) else {
                let Some(length) = it.discard_body(&head) else {
                    return;
                };
                let text = length.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                );
                if it.say(answer).is_err() {
                    return;
                }
                continue;
            };
            let _ = it.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"));
            let mut left: usize = size;
            while left > 0 {
                let next = left.min(part.len());
                if it.say(&part[..next]).is_err() {
                    return;
                }
                left -= next;
            }
        }
    })
}

/// A file of this size that occupies nothing, gone when the value is dropped.
struct Sparse(PathBuf);

impl Sparse {
    fn new(size: u64) -> Result<Self> {
        let address = aviary_tests::standalone::free_address()?;
        let path = std::env::temp_dir().join(format!("aviary-upload-{address}"));
        File::create(&path)?.set_len(size)?;
        Ok(Self(path))
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends and fetches by curl, and asserts what both proxies held meanwhile.
fn transfer(http2: bool, first: First, between: Hop) -> Result<()> {
    let size = match std::env::var("AVIARY_TEST_BODY_MIB") {
        Ok(text) => text.parse()?,
        Err(_) => MIB,
    };
    let origin = depot()?;
    let chain = Chain::start(first, between, Hop::Http1, origin.address())?;
    let both = |size: u64| -> Result<()> {
        let file = Sparse::new(size)?;
        let name = file.0.to_str().context("a path")?;
        let took = chain.curl(http2, "up", &["-T", name])?;
        assert_eq!(took, size.to_string(), "what the server got");
        let format = ["-o", "/dev/null", "-w", "%{size_download}"];
        let got = chain.curl(http2, &format!("down/{size}"), &format)?;
        assert_eq!(got, size.to_string(), "what the client got");
        Ok(())
    };
    // What a short body occupies, twice as what is made once is made by the first; a long one then
    // occupies hardly more.
    both(1 << 20)?;
    both(1 << 20)?;
    let mut before = Vec::new();
    for proxy in &chain.proxies {
        before.push(proxy.memory()?.peak_kib);
        proxy.forget_peak()?;
    }
    let started = Instant::now();
    both(size << 20)?;
    for (proxy, before) in chain.proxies.iter().zip(before) {
        let peak = proxy.memory()?.peak_kib;
        println!(
            "HTTP/2 {http2}, {first:?}, {between:?}: {size} MiB both ways in {:?}, {} KiB more",
            started.elapsed(),
            peak.saturating_sub(before)
        );
        assert!(peak <= before + HELD_KIB, "{before} KiB before, {peak} KiB");
    }
    Ok(())
}

#[test]
fn f27_bodies_over_http_1_are_hardly_held() -> Result<()> {
    transfer(false, First::Plain, Hop::Http1)
}

#[test]
fn f27_bodies_over_http_2_are_hardly_held() -> Result<()> {
    transfer(true, First::Plain, Hop::Http2)
}

#[test]
fn f27_bodies_over_mutual_tls_are_hardly_held() -> Result<()> {
    transfer(false, First::Sidecar, Hop::Http1)
}

#[test]
fn f27_bodies_over_a_gateway_are_hardly_held() -> Result<()> {
    transfer(true, First::Gateway, Hop::Http2)
}

/// Up and down at once on one request.
#[test]
fn f27_body_that_comes_back_at_once_is_hardly_held() -> Result<()> {
    let origin = Origin::start(|mut it| {
        it.keep_nothing();
        while let Some(head) = it.head_with("/both") {
            let size = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|it| it.parse::<usize>().ok())
                .unwrap_or_default();
            let _ = it.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"));
            for _ in 0..size / 65_536 {
                let Some(part) = it.take(65_536) else { return };
                if it.say(part).is_err() {
                    return;
                }
            }
        }
    })?;
    let chain = Chain::start(First::Plain, Hop::Http1, Hop::Http1, origin.address())?;
    let both = |size: usize| -> Result<()> {
        let mut client = Raw::connect(chain.address)?;
        client.send(format!(
            "POST /both HTTP/1.1\r\nhost: a.test\r\ncontent-length: {size}\r\n\r\n"
        ))?;
        let mut writer = client.stream().try_clone()?;
        let sender = std::thread::spawn(move || {
            let part = vec![b'y'; 65_536];
            (0..size / 65_536).all(|_| std::io::Write::write_all(&mut writer, &part).is_ok())
        });
        client.head()?;
        for _ in 0..size / 65_536 {
            assert!(client.take(65_536)?.iter().all(|byte| *byte == b'y'));
        }
        assert!(sender.join().unwrap_or_default());
        Ok(())
    };
    both(1 << 20)?;
    both(1 << 20)?;
    let before = chain.proxies[0].memory()?.peak_kib;
    chain.proxies[0].forget_peak()?;
    both(32 << 20)?;
    let peak = chain.proxies[0].memory()?.peak_kib;
    assert!(peak <= before + HELD_KIB, "{before} KiB before, {peak} KiB");
    Ok(())
}
