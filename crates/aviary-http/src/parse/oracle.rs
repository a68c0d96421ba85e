//! Whatever is accepted here, httparse (hyper's parser) reads as the same message, and writing it
//! and reading it again gives the same.

use proptest::prelude::*;

use super::{Limits, Scanner, request};
use crate::{Name, RequestHead};

/// Pieces that requests are made of, right and wrong.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "GET",
        "POST",
        "OPTIONS",
        "/",
        "/a?b=c",
        "*",
        "http://a/",
        "HTTP/1.1",
        "HTTP/1.0",
        " ",
        " ",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "\0",
        "\t",
        ":",
        ": ",
        "host: a\r\n",
        "content-length: 3\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: x\r\n",
        "x: y\r\n",
        "x",
        "te: trailers\r\n",
        "é",
        "#",
        "a",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
    ])
}

/// A good request with some pieces put in at random places.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let good = "GET /a?b=c HTTP/1.1\r\nhost: a\r\nx: y\r\nconnection: keep-alive\r\n\r\n";
    let spliced =
        prop::collection::vec((0..=good.len(), 0..4usize, piece()), 0..4).prop_map(move |edits| {
            let mut bytes = good.as_bytes().to_vec();
            for (at, cut, piece) in edits {
                let at = at.min(bytes.len());
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, piece.bytes());
            }
            bytes
        });
    let free =
        prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![3 => spliced, 1 => free]
}

fn read(input: &[u8]) -> Option<(RequestHead, usize)> {
    let limits = Limits::default();
    let end = Scanner::new().end(input, &limits).ok()??;
    let mut head = RequestHead::new();
    request(&input[..end], &limits, &mut head).ok()?;
    Some((head, end))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn request_accepted_is_the_same_to_httparse(input in input()) {
        let Some((head, end)) = read(&input) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut other = httparse::Request::new(&mut fields);
        prop_assert_eq!(other.parse(&input).unwrap(), httparse::Status::Complete(end));
        prop_assert_eq!(other.method, Some(head.method()));
        prop_assert!(other.path.unwrap().ends_with(head.path()));
        let mut theirs = other.headers.iter().map(|field| (field.name.as_bytes(), field.value.trim_ascii()));
        for ours in head.fields.iter().filter(|(name, _)| Name::of(name) != Name::Te) {
            prop_assert!(theirs.any(|field| field == ours), "{ours:?} in this order");
        }
    }

    #[test]
    fn request_written_and_read_again_is_the_same(input in input()) {
        let Some((head, _)) = read(&input) else { return Ok(()) };
        let mut out = Vec::new();
        head.write_http1(&mut out, head.framing, true);
        let (again, end) = read(&out).expect("what was written is well formed");
        prop_assert_eq!(end, out.len());
        prop_assert_eq!(again.method(), head.method());
        prop_assert_eq!(again.authority(), head.authority());
        prop_assert_eq!(again.path(), head.path());
        prop_assert_eq!(again.framing.length(), head.framing.length());
        prop_assert_eq!(again.fields, head.fields);
    }

    #[test]
    fn request_in_pieces_ends_where_it_does_at_once(input in input(), size in 1..9usize) {
        let limits = Limits::default();
        let whole = Scanner::new().end(&input, &limits);
        let mut scanner = Scanner::new();
        let mut have = 0;
        let pieces = loop {
            have = (have + size).min(input.len());
            match scanner.end(&input[..have], &limits) {
                Ok(None) if have < input.len() => {}
                other => break other,
            }
        };
        match (whole, pieces) {
            // A head that is complete at once is only looked at by the next step.
            (Ok(Some(end)), Err(_)) => {
                prop_assert!(request(&input[..end], &limits, &mut RequestHead::new()).is_err());
            }
            (whole, pieces) => prop_assert_eq!(whole.ok(), pieces.ok()),
        }
    }
}
