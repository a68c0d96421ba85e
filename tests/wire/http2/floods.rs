//! Frames that cost the sender little: the connection ends, memory stays bounded, nobody else notices.

use std::time::Duration;

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::frames::{Block, END_STREAM, Frame, Frames, Verdict, code, kind};
use aviary_tests::origin::Origin;

use crate::bench::Bench;

/// How long the proxy may take to end the connection after the last frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much more memory a flood may occupy. The bound of the project is 64 MiB.
const MEMORY_KIB: u64 = 16 * 1024;

/// Streams of a client in the order of their numbers.
fn streams() -> impl Iterator<Item = u32> {
    (0..).map(|number| number * 2 + 1)
}

/// Runs an attack beside a neighbour and asserts what holds for every one.
fn attack(bench: &Bench, frames: impl IntoIterator<Item = Frame>) -> Result<Verdict> {
    attack_with(bench, &[], frames)
}

fn attack_with(
    bench: &Bench,
    settings: &[(u16, u32)],
    frames: impl IntoIterator<Item = Frame>,
) -> Result<Verdict> {
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let verdict = Frames::connect_with(bench.address, settings)?.attack(frames, PATIENCE)?;
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{verdict:?}, {} KiB more", peak.saturating_sub(before));
    assert!(verdict.ended, "the connection lives: {verdict:?}");
    assert!(
        peak < before + MEMORY_KIB,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(verdict)
}

#[test]
fn cve_2023_44487_rapid_reset_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(20_000).flat_map(|stream| {
        [
            Frame::get(stream, "/rapid"),
            Frame::reset(stream, code::CANCEL),
        ]
    });
    let verdict = attack(&bench, frames)?;
    assert_eq!(verdict.goaway, Some(code::CALM), "{verdict:?}");
    let forwarded = bench.origin.count("GET /rapid");
    assert!(forwarded <= 250, "{forwarded} requests reached the server");
    Ok(())
}

/// The client makes the server reset: each stream gets an update of nothing.
#[test]
fn cve_2025_8671_resets_made_by_the_server_are_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(20_000).flat_map(|stream| {
        [
            Frame::headers(stream, Block::request("POST", "/made"), 0),
            Frame::new(kind::WINDOW, 0, stream, [0; 4]),
        ]
    });
    attack(&bench, frames)?;
    let forwarded = bench.origin.count("POST /made");
    assert!(forwarded <= 250, "{forwarded} requests reached the server");
    Ok(())
}

/// As before, by windows that overflow.
#[test]
fn cve_2025_8671_resets_by_overflow_are_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(20_000).flat_map(|stream| {
        [
            Frame::headers(stream, Block::request("POST", "/made"), 0),
            Frame::new(kind::WINDOW, 0, stream, 0x7fff_ffff_u32.to_be_bytes()),
        ]
    });
    attack(&bench, frames)?;
    Ok(())
}

/// Requests that must be refused stream by stream.
#[test]
fn cve_2019_9514_resets_by_bad_requests_are_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(20_000).map(|stream| {
        let block = Block::request("GET", "/bad").with("connection", "close");
        Frame::headers(stream, block, END_STREAM)
    });
    attack(&bench, frames)?;
    assert_eq!(bench.origin.count("/bad"), 0);
    Ok(())
}

fn continuation(payload: Vec<u8>) -> impl Iterator<Item = Frame> {
    let first = Frame::new(
        kind::HEADERS,
        END_STREAM,
        1,
        Block::request("GET", "/long").0,
    );
    let more = Frame::new(kind::CONTINUATION, 0, 1, payload);
    std::iter::once(first).chain(std::iter::repeat_n(more, 100_000))
}

#[test]
fn cve_2024_27919_continuation_without_end_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    let verdict = attack(&bench, continuation(Block::default().with("x-a", "b").0))?;
    assert!(verdict.sent < 60_000, "{verdict:?}");
    assert_eq!(bench.origin.count("/long"), 0);
    Ok(())
}

#[test]
fn cve_2024_30255_large_continuation_without_end_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    let fields = Block::default().with("x-large", vec![b'v'; 16_000]);
    attack(&bench, continuation(fields.0).take(5_000))?;
    assert_eq!(bench.origin.count("/long"), 0);
    Ok(())
}

#[test]
fn cve_2024_27316_empty_continuation_without_end_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    attack(&bench, continuation(Vec::new()))?;
    assert_eq!(bench.origin.count("/long"), 0);
    Ok(())
}

#[test]
fn cve_2019_9512_ping_flood_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    attack(
        &bench,
        std::iter::repeat_n(Frame::new(kind::PING, 0, 0, [7; 8]), 50_000),
    )?;
    Ok(())
}

#[test]
fn cve_2019_9515_settings_flood_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    attack(
        &bench,
        std::iter::repeat_n(Frame::new(kind::SETTINGS, 0, 0, []), 50_000),
    )?;
    Ok(())
}

#[test]
fn cve_2019_9518_empty_data_flood_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    let open = Frame::headers(1, Block::request("POST", "/empty"), 0);
    let empty = Frame::new(kind::DATA, 0, 1, []);
    attack(
        &bench,
        std::iter::once(open).chain(std::iter::repeat_n(empty, 50_000)),
    )?;
    Ok(())
}

#[test]
fn cve_2019_9513_priority_flood_is_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = (0..50_000u32).map(|number| {
        let stream = number % 1000 * 2 + 1;
        let other = (number + 1) % 1000 * 2 + 1;
        let mut payload = other.to_be_bytes().to_vec();
        payload.push(7);
        Frame::new(kind::PRIORITY, 0, stream, payload)
    });
    attack(&bench, frames)?;
    Ok(())
}

/// Fields without a name, which some servers kept for ever.
#[test]
fn cve_2019_9516_fields_without_name_are_not_kept() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(5_000).map(|stream| {
        let empty = |block: Block, _| block.with("", "");
        let block = (0..100).fold(Block::request("GET", "/empty-name"), empty);
        Frame::headers(stream, block, END_STREAM)
    });
    attack(&bench, frames)?;
    assert_eq!(bench.origin.count("/empty-name"), 0);
    Ok(())
}

/// A client that asks for much and lets nothing through: nothing of it is kept for him.
#[test]
fn cve_2019_9517_answers_that_nobody_takes_are_not_kept() -> Result<()> {
    let origin = Origin::start(|mut it| {
        while it.head_with("/large").is_some() {
            let _ = it.say("HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n");
            let part = vec![b'x'; 64 * 1024];
            for _ in 0..1600 {
                if it.say(&part).is_err() {
                    return;
                }
            }
        }
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    let mut client = Frames::connect_with(bench.address, &[(4, 0)])?;
    for stream in streams().take(80) {
        client.send(&Frame::get(stream, "/large"))?;
    }
    aviary_tests::eventually("the servers are asked", PATIENCE, || {
        Ok(bench.origin.count("/large") == 80)
    })?;
    std::thread::park_timeout(Duration::from_secs(1));
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{} KiB for 80 streams", peak.saturating_sub(before));
    assert!(
        peak < before + 80 * 256 + 2048,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(())
}

/// 4 KB in the table, named four thousand times in one head: 16 MB for 8 KB.
#[test]
fn cve_2026_49975_heads_that_grow_by_the_table_are_ended() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(200).map(|stream| {
        let block = Block::request("GET", "/bomb").with_kept("x", vec![b'v'; 4000]);
        Frame::headers(stream, block.with_newest(4000), END_STREAM)
    });
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let verdict = Frames::connect(bench.address)?.attack(frames, Duration::from_secs(2))?;
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{verdict:?}, {} KiB more", peak.saturating_sub(before));
    assert!(
        peak < before + MEMORY_KIB,
        "{before} KiB before, {peak} KiB"
    );
    assert_eq!(bench.origin.count("/bomb"), 0);
    neighbour.assert_unaffected();
    Ok(())
}

/// Cookies in four thousand crumbs.
#[test]
fn cookie_in_crumbs_is_not_forwarded() -> Result<()> {
    let bench = Bench::start()?;
    let frames = streams().take(200).map(|stream| {
        let block = Block::request("GET", "/crumbs").with_kept("cookie", "a=b");
        Frame::headers(stream, block.with_newest(4000), END_STREAM)
    });
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let verdict = Frames::connect(bench.address)?.attack(frames, Duration::from_secs(2))?;
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{verdict:?}, {} KiB more", peak.saturating_sub(before));
    // The heads of one turn of 16 KiB, decoded: that much for each worker, not for each client.
    assert!(
        peak < before + 2 * MEMORY_KIB,
        "{before} KiB before, {peak} KiB"
    );
    assert_eq!(bench.origin.count("/crumbs"), 0);
    neighbour.assert_unaffected();
    Ok(())
}

/// A body in frames of one byte, a hundred thousand of them.
#[test]
fn flood_of_small_data_holds_bounded_memory() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let Some(_) = it.head_with("/small") else {
            return;
        };
        // It does not read.
        std::thread::park_timeout(PATIENCE);
    })?;
    let bench = Bench::before(origin, |it| it)?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let open = Frame::headers(1, Block::request("POST", "/small"), 0);
    let byte = Frame::new(kind::DATA, 0, 1, [b'x']);
    let frames = std::iter::once(open).chain(std::iter::repeat_n(byte, 60_000));
    let verdict = Frames::connect(bench.address)?.attack(frames, Duration::from_secs(1))?;
    let peak = bench.proxy.memory()?.peak_kib;
    println!("{verdict:?}, {} KiB more", peak.saturating_sub(before));
    assert!(
        peak < before + MEMORY_KIB,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(())
}

/// Pings that nobody reads the answers of: they are not kept for ever.
#[test]
fn cve_2019_9511_client_that_reads_nothing_is_not_served_for_ever() -> Result<()> {
    use std::io::Write;
    let bench = Bench::start()?;
    let neighbour = Steady::start(bench.address)?;
    let before = bench.proxy.forget_peak()?;
    let mut stream = std::net::TcpStream::connect(bench.address)?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let batch = Frame::new(kind::PING, 0, 0, [1; 8]).bytes().repeat(1000);
    for _ in 0..200 {
        if stream.write_all(&batch).is_err() {
            break;
        }
    }
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(
        peak < before + MEMORY_KIB,
        "{before} KiB before, {peak} KiB"
    );
    neighbour.assert_unaffected();
    Ok(())
}
