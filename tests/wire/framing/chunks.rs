//! Chunked bodies that are refused, and those that only look as if.

use anyhow::Result;
use aviary_tests::raw::Raw;

use super::Case;
use crate::bench::Bench;

/// What follows the head of a chunked request.
const BODIES: &[(&str, &[u8])] = &[
    ("a size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("a size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("a size after a blank", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a size that is none", b"g\r\nhello\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("no size but an extension", b";a=b\r\nhello\r\n0\r\n\r\n"),
    (
        "a size that overflows to 5",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "a size of 2^64 - 1",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ),
    ("LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("CR after the size", b"5\rhello\r\n0\r\n\r\n"),
    ("LF in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    ("data longer than its size", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("data without its end", b"5\r\nhello0\r\n\r\n"),
    ("LF after the last chunk", b"5\r\nhello\r\n0\n\n"),
    (
        "a trailer without a colon",
        b"5\r\nhello\r\n0\r\nx-a\r\n\r\n",
    ),
    (
        "a trailer with an empty name",
        b"5\r\nhello\r\n0\r\n: b\r\n\r\n",
    ),
    (
        "a trailer with a blank before the colon",
        b"5\r\nhello\r\n0\r\nx-a : b\r\n\r\n",
    ),
    (
        "a folded trailer",
        b"5\r\nhello\r\n0\r\nx-a: b\r\n c\r\n\r\n",
    ),
    ("NUL in a trailer", b"5\r\nhello\r\n0\r\nx-a: \0\r\n\r\n"),
    ("CR in a trailer", b"5\r\nhello\r\n0\r\nx-a: b\rc\r\n\r\n"),
    (
        "LF in the trailers",
        b"5\r\nhello\r\n0\r\nx-a: b\nx-b: c\r\n\r\n",
    ),
];

fn request(body: &[u8]) -> Vec<u8> {
    let head = b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    [head, body].concat()
}

/// The head may have gone on by then; the body never looks complete to the server.
#[test]
fn chunk_out_of_form_ends_the_connection() -> Result<()> {
    let bench = Bench::start()?;
    let case = |(name, body): &(&'static str, &[u8])| Case {
        name,
        request: request(body),
        statuses: &[400],
    };
    let cases: Vec<Case> = BODIES.iter().map(case).collect();
    bench.assert_refused(&cases, false)?;
    for heard in bench.origin.heard() {
        assert!(
            !heard.contains("mark") || !heard.ends_with("0\r\n\r\n"),
            "a broken body looks whole: {heard:?}"
        );
    }
    Ok(())
}

#[test]
fn extension_without_end_is_refused_and_not_kept() -> Result<()> {
    let bench = Bench::start()?;
    let before = bench.proxy.forget_peak()?;
    let case = |name, body: Vec<u8>| Case {
        name,
        request: request(&body),
        statuses: &[400, 413, 431],
    };
    let long = [b"5;".to_vec(), vec![b'a'; 4 << 20]].concat();
    // Source: CVE-2023-39326: a byte of data for thousands of bytes of extension.
    let one = [b"1;".to_vec(), vec![b'a'; 4000], b"\r\nx\r\n".to_vec()].concat();
    let cases = [
        case("one of 4 MiB", long),
        case("4 KB with every byte", one.repeat(1000)),
    ];
    bench.assert_refused(&cases, false)?;
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 16 * 1024, "{before} KiB before, {peak} KiB");
    Ok(())
}

#[test]
fn trailers_without_end_are_refused_and_not_kept() -> Result<()> {
    let bench = Bench::start()?;
    let before = bench.proxy.forget_peak()?;
    let case = |name, trailers: Vec<u8>| Case {
        name,
        request: request(&[b"0\r\n".to_vec(), trailers].concat()),
        statuses: &[400, 413, 431],
    };
    let cases = [
        case("one of 4 MiB", vec![b'a'; 4 << 20]),
        case("a hundred thousand of them", b"x-a: b\r\n".repeat(100_000)),
    ];
    bench.assert_refused(&cases, false)?;
    let peak = bench.proxy.memory()?.peak_kib;
    assert!(peak < before + 16 * 1024, "{before} KiB before, {peak} KiB");
    Ok(())
}

#[test]
fn chunked_forms_that_are_right_are_forwarded() -> Result<()> {
    let bench = Bench::start()?;
    let bodies: &[&[u8]] = &[
        b"5\r\nhello\r\n0\r\n\r\n",
        b"05\r\nhello\r\n000\r\n\r\n",
        b"5;a=b\r\nhello\r\n0;c=\"d\"\r\n\r\n",
        b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx-trailer: t\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx-a: 1\r\nx-b:\r\n\r\n",
    ];
    let mut client = Raw::connect(bench.address)?;
    for body in bodies {
        for size in [1, body.len() + 200] {
            client.send_in_pieces(request(body), size)?;
            let answer = client.answer()?;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "hello"),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
    }
    Ok(())
}

/// What would change the framing is no trailer.
#[test]
fn trailers_that_frame_are_dropped() -> Result<()> {
    let bench = Bench::start()?;
    let body = b"5\r\nhello\r\n0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nhost: b.test\r\n\r\n";
    let mut client = Raw::connect(bench.address)?;
    let answer = client.ask(request(body))?;
    assert!([200, 400].contains(&answer.status), "{}", answer.head);
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    let tail = heard.split("hello").nth(1).unwrap_or_default();
    for name in ["content-length", "transfer-encoding", "b.test"] {
        assert!(!tail.contains(name), "{heard:?}");
    }
    Ok(())
}
