//! How many streams, how much of each; and the honest client that comes close.

use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::frames::{Block, END_HEADERS, END_STREAM, Frame, Frames, code, kind};
use aviary_tests::origin::Origin;
use serde_json::json;

use crate::bench::{Bench, SOON};

/// A server that answers nothing on `/wait`.
fn waiting() -> Result<Origin> {
    Origin::start(|mut it| {
        while it.head_with("/wait").is_some() {
            it.listen_to_end();
        }
    })
}

#[test]
fn streams_beyond_the_limit_are_refused_and_others_served() -> Result<()> {
    let bench = Bench::before(waiting()?, |it| {
        it.manager(&json!({"http2_protocol_options": {"max_concurrent_streams": 100}}))
    })?;
    let mut client = Frames::connect(bench.address)?;
    for number in 0..120 {
        client.send(&Frame::get(number * 2 + 1, "/wait"))?;
    }
    let mut refused = Vec::new();
    while refused.len() < 20 {
        let Some(frame) = client.frame()? else { break };
        assert_ne!(frame.kind, kind::GOAWAY, "{frame:?}");
        if frame.kind == kind::RESET {
            assert_eq!(frame.code(), Some(code::REFUSED_STREAM));
            refused.push(frame.stream);
        }
    }
    assert_eq!(
        refused,
        (100..120).map(|it| it * 2 + 1).collect::<Vec<u32>>()
    );
    aviary_tests::eventually("the others reach the server", SOON, || {
        Ok(bench.origin.count("GET /wait") == 100)
    })?;
    // One ends, one more fits.
    client.send(&Frame::reset(1, code::CANCEL))?;
    client.send(&Frame::get(301, "/then"))?;
    let reply = client.reply(301)?;
    assert_eq!(reply.status, 200);
    Ok(())
}

#[test]
fn windows_are_64_kib_and_1_mib() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    client.send(&Frame::get(1, "/"))?;
    let (mut stream_window, mut connection_window) = (65_535, 65_535);
    loop {
        let frame = client.frame()?.expect("an answer");
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        match frame.kind {
            kind::SETTINGS => {
                for setting in frame.payload.chunks(6).filter(|it| it[..2] == [0, 4]) {
                    stream_window = number(&setting[2..]);
                }
            }
            kind::WINDOW if frame.stream == 0 => connection_window += number(&frame.payload),
            kind::HEADERS => break,
            _ => {}
        }
    }
    assert!([65_535, 65_536].contains(&stream_window), "{stream_window}");
    assert!(
        (1_048_575..=1_048_577).contains(&connection_window),
        "{connection_window}"
    );
    Ok(())
}

/// A client that sends more than its windows, to a server that does not read.
#[test]
fn data_beyond_the_window_ends_it() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let Some(_) = it.head_with("/stuck") else {
            return;
        };
        std::thread::park_timeout(SOON * 2);
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let open = Frame::headers(1, Block::request("POST", "/stuck"), 0);
    let data = Frame::new(kind::DATA, 0, 1, vec![b'x'; 16_000]);
    let frames = std::iter::once(open).chain(std::iter::repeat_n(data, 10_000));
    let verdict = Frames::connect(bench.address)?.attack(frames, SOON)?;
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{verdict:?}, {} KiB more", peak.saturating_sub(before));
    // The stream or the connection is ended; either way nothing piles up.
    assert!(verdict.ended || verdict.answers > 0, "{verdict:?}");
    assert!(peak < before + 8 * 1024, "{before} KiB before, {peak} KiB");
    neighbour.assert_unaffected();
    Ok(())
}

/// Fifty cancels a second of requests that a server works on, among others that are answered.
#[test]
fn honest_cancels_of_50_a_second_pass() -> Result<()> {
    let bench = Bench::before(waiting()?, |it| it)?;
    let mut client = Frames::connect(bench.address)?;
    let (mut stream, mut answered) = (1, 0);
    let started = Instant::now();
    for number in 0..200u32 {
        client.send(&Frame::get(stream, "/wait"))?;
        client.send(&Frame::get(stream + 2, "/done"))?;
        let reply = client.reply(stream + 2)?;
        answered += usize::from(reply.status == 200);
        let due = started + Duration::from_millis(20) * (number + 1);
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        client.send(&Frame::reset(stream, code::CANCEL))?;
        stream += 4;
    }
    assert_eq!(answered, 200);
    Ok(())
}

#[test]
fn head_in_several_frames_is_put_together() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    let fields = |block: Block, n: usize| block.with(format!("x-{n}"), vec![b'v'; 3000]);
    let block = (0..18).fold(Block::request("GET", "/parts"), fields).0;
    let parts: Vec<&[u8]> = block.chunks(block.len() / 8 + 1).collect();
    client.send(&Frame::new(kind::HEADERS, END_STREAM, 1, parts[0]))?;
    for (number, part) in parts.iter().enumerate().skip(1) {
        let last = if number + 1 == parts.len() { 4 } else { 0 };
        client.send(&Frame::new(kind::CONTINUATION, last, 1, *part))?;
    }
    assert_eq!(client.reply(1)?.status, 200);
    Ok(())
}

/// A head that is small on the wire and large when it is read, and one with too many fields: each is
/// answered, and the connection serves on. Who goes on like this is sent away.
#[test]
fn head_of_64_kib_decoded_is_answered_431() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    let large = || Block::request("GET", "/large").with_kept("x", vec![b'v'; 3000]);
    let many = |block: Block, n: usize| block.with(format!("x-{n}"), "v");
    for (stream, block) in [
        (1, large().with_newest(30)),
        (5, (0..129).fold(Block::request("GET", "/large"), many)),
    ] {
        client.send(&Frame::headers(stream, block, END_STREAM))?;
        assert_eq!(client.reply(stream)?.status, 431);
        client.send(&Frame::get(stream + 2, "/then"))?;
        assert_eq!(client.reply(stream + 2)?.status, 200);
    }
    let long = format!("/{}", "p".repeat(17_000));
    let block = Block::request("GET", &long).0;
    client.send(&Frame::new(kind::HEADERS, END_STREAM, 9, &block[..9000]))?;
    client.send(&Frame::new(
        kind::CONTINUATION,
        END_HEADERS,
        9,
        &block[9000..],
    ))?;
    assert_eq!(client.reply(9)?.status, 414);
    let frames = (11..).step_by(2).take(20);
    let frames = frames.map(|it| Frame::headers(it, large().with_newest(30), END_STREAM));
    let verdict = client.attack(frames, SOON)?;
    assert_eq!(verdict.goaway, Some(code::CALM), "{verdict:?}");
    assert_eq!(bench.origin.count("/large"), 0);
    Ok(())
}

/// More than 64 KiB on the wire ends the connection at once.
#[test]
fn head_of_72_kb_on_the_wire_ends_the_connection() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    let fields = |block: Block, n: usize| block.with(format!("x-{n}"), vec![b'v'; 12_000]);
    let block = (0..6).fold(Block::request("GET", "/large"), fields).0;
    let parts: Vec<&[u8]> = block.chunks(16_000).collect();
    client.send(&Frame::new(kind::HEADERS, END_STREAM, 1, parts[0]))?;
    for (number, part) in parts.iter().enumerate().skip(1) {
        let last = if number + 1 == parts.len() { 4 } else { 0 };
        client.send(&Frame::new(kind::CONTINUATION, last, 1, *part))?;
    }
    let verdict = client.attack([], SOON)?;
    assert_eq!(verdict.goaway, Some(code::CALM), "{verdict:?}");
    assert_eq!(bench.origin.count("/large"), 0);
    Ok(())
}

/// A handful of pings and settings is what honest clients send.
#[test]
fn honest_control_frames_are_answered() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    for number in 0..20u32 {
        client.send(&Frame::new(kind::PING, 0, 0, [7; 8]))?;
        client.send(&Frame::new(kind::SETTINGS, 0, 0, []))?;
        client.send(&Frame::get(number * 2 + 1, "/"))?;
        assert_eq!(client.reply(number * 2 + 1)?.status, 200);
    }
    Ok(())
}
