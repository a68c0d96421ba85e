//! Requests of HTTP/2 that would be something else in HTTP/1 are refused, and nothing of them is forwarded.

use anyhow::Result;
use aviary_tests::Steady;
use aviary_tests::frames::{Block, END_STREAM, Frame, Frames, kind, status};

use crate::bench::Bench;

/// A request for a path with the mark, with what is wrong about it.
type Case = (&'static str, fn(&str) -> Block);

fn get(mark: &str) -> Block {
    Block::request("GET", &format!("/{mark}"))
}

/// The pseudo fields given, in this order.
fn pseudo(fields: &[(&str, &str)]) -> Block {
    let add = |block: Block, (name, value): &(&str, &str)| block.with(name, value);
    fields.iter().fold(Block::default(), add)
}

const FIELDS: &[Case] = &[
    ("CR LF in a value", |mark| {
        get(mark).with("x-a", "b\r\nx-b: c")
    }),
    ("CR LF and a request in a value", |mark| {
        get(mark).with(
            "x-a",
            "b\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n",
        )
    }),
    ("LF in a value", |mark| get(mark).with("x-a", "b\nx-b: c")),
    ("CR in a value", |mark| get(mark).with("x-a", "b\rc")),
    ("NUL in a value", |mark| get(mark).with("x-a", "b\0c")),
    ("CR LF in a name", |mark| {
        get(mark).with("x-a: b\r\nx-b", "c")
    }),
    ("LF in a name", |mark| get(mark).with("x-a\nx-b", "c")),
    ("NUL in a name", |mark| get(mark).with("x-\0a", "c")),
    ("a blank in a name", |mark| get(mark).with("x a", "b")),
    ("a colon in a name", |mark| get(mark).with("x:a", "b")),
    ("a capital in a name", |mark| get(mark).with("X-A", "b")),
    ("a letter beyond ASCII in a name", |mark| {
        get(mark).with("x-\u{e4}", "b")
    }),
    ("an empty name", |mark| get(mark).with("", "b")),
    ("transfer-encoding", |mark| {
        get(mark).with("transfer-encoding", "chunked")
    }),
    ("transfer-encoding identity", |mark| {
        get(mark).with("transfer-encoding", "identity")
    }),
    ("connection", |mark| get(mark).with("connection", "close")),
    ("keep-alive", |mark| {
        get(mark).with("keep-alive", "timeout=5")
    }),
    ("proxy-connection", |mark| {
        get(mark).with("proxy-connection", "keep-alive")
    }),
    ("upgrade", |mark| get(mark).with("upgrade", "websocket")),
    ("te but trailers", |mark| get(mark).with("te", "gzip")),
    ("another host", |mark| get(mark).with("host", "b.test")),
    ("two hosts", |mark| {
        get(mark).with("host", "a.test").with("host", "b.test")
    }),
];

const PSEUDO: &[Case] = &[
    ("CR LF in the path", |mark| {
        Block::request("GET", &format!("/{mark} HTTP/1.1\r\nx-a: b"))
    }),
    ("LF in the path", |mark| {
        Block::request("GET", &format!("/{mark}\nx"))
    }),
    ("a blank in the path", |mark| {
        Block::request("GET", &format!("/{mark} x"))
    }),
    ("a tab in the path", |mark| {
        Block::request("GET", &format!("/{mark}\tx"))
    }),
    ("NUL in the path", |mark| {
        Block::request("GET", &format!("/{mark}\0"))
    }),
    ("a path without a slash", |mark| Block::request("GET", mark)),
    ("a whole URL as the path", |mark| {
        Block::request("GET", &format!("http://b.test/{mark}"))
    }),
    ("an empty path", |mark| {
        Block::request("GET", "").with("x-mark", mark)
    }),
    ("CR LF in the method", |mark| {
        Block::request(
            "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\nGET",
            &format!("/{mark}"),
        )
    }),
    ("a blank in the method", |mark| {
        Block::request("GET /smuggled", &format!("/{mark}"))
    }),
    ("an empty method", |mark| {
        Block::request("", &format!("/{mark}"))
    }),
    ("CR LF in the authority", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a.test\r\nx-a: b"),
        ])
    }),
    ("a blank in the authority", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a.test b.test"),
        ])
    }),
    ("a slash in the authority", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a.test/x"),
        ])
    }),
    ("CR LF in the scheme", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http\r\nx-a: b"),
            (":path", &path),
            (":authority", "a.test"),
        ])
    }),
    ("no authority and no host", |mark| {
        let path = format!("/{mark}");
        pseudo(&[(":method", "GET"), (":scheme", "http"), (":path", &path)])
    }),
    ("no path", |mark| {
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
        ])
        .with("x-mark", mark)
    }),
    ("no method", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a.test"),
        ])
    }),
    ("no scheme", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":path", &path),
            (":authority", "a.test"),
        ])
    }),
    ("two paths", |mark| get(mark).with(":path", "/smuggled")),
    ("two methods", |mark| get(mark).with(":method", "POST")),
    ("two authorities", |mark| {
        get(mark).with(":authority", "b.test")
    }),
    ("a pseudo field after a field", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            ("x-a", "b"),
            (":path", &path),
            (":authority", "a.test"),
        ])
    }),
    ("a status", |mark| get(mark).with(":status", "200")),
    ("an unknown pseudo field", |mark| {
        let path = format!("/{mark}");
        pseudo(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a.test"),
            (":x", "y"),
        ])
    }),
];

/// A request and its body, which contradict each other.
type Contradiction = (&'static str, fn(&str) -> Vec<Frame>);

fn with_body(mark: &str, length: &str, body: &[u8]) -> Vec<Frame> {
    let block = Block::request("POST", &format!("/{mark}")).with("content-length", length);
    vec![
        Frame::headers(1, block, 0),
        Frame::new(kind::DATA, END_STREAM, 1, body),
    ]
}

const LENGTHS: &[Contradiction] = &[
    ("a body shorter than its length", |mark| {
        with_body(mark, "10", b"hello")
    }),
    ("a body longer than its length", |mark| {
        with_body(mark, "2", b"hello")
    }),
    ("an empty body with a length", |mark| {
        with_body(mark, "5", b"")
    }),
    ("a body of length 0", |mark| {
        with_body(mark, "0", b"GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n")
    }),
    ("a length with a plus", |mark| {
        with_body(mark, "+5", b"hello")
    }),
    ("a list of lengths", |mark| {
        with_body(mark, "5, 5", b"hello")
    }),
    ("an empty length", |mark| with_body(mark, "", b"hello")),
    ("two lengths", |mark| {
        let block = Block::request("POST", &format!("/{mark}"))
            .with("content-length", "5")
            .with("content-length", "2");
        vec![
            Frame::headers(1, block, 0),
            Frame::new(kind::DATA, END_STREAM, 1, *b"hello"),
        ]
    }),
];

/// What came of a stream: `400`, or that it or the connection was ended.
fn outcome(bench: &Bench, frames: &[Frame]) -> Result<String> {
    let mut client = Frames::connect(bench.address)?;
    for frame in frames {
        // A proxy may end the connection before the last of them.
        let _ = client.send(frame);
    }
    while let Some(frame) = client.frame()? {
        match frame.kind {
            kind::GOAWAY => return Ok("refused".to_owned()),
            kind::RESET if frame.stream == 1 => return Ok("refused".to_owned()),
            kind::HEADERS => return Ok(format!("{}", status(&frame.payload).unwrap_or_default())),
            _ => {}
        }
    }
    Ok("refused".to_owned())
}

/// Asserts that each is refused; gives how often something of it came to the server.
fn assert_refused(
    bench: &Bench,
    cases: &[(&'static str, Vec<Frame>)],
    forwarded: bool,
) -> Result<()> {
    let neighbour = Steady::start(bench.address)?;
    let mut faults = Vec::new();
    for (number, (name, frames)) in cases.iter().enumerate() {
        let outcome = outcome(bench, frames)?;
        if !["refused", "400", "404", "405"].contains(&outcome.as_str()) {
            faults.push(format!("{name}: {outcome}"));
        }
        aviary_tests::raw::Raw::connect(bench.address)?.get("/barrier")?;
        if !forwarded && bench.origin.count(&format!("mark-{number}-")) > 0 {
            faults.push(format!("{name}: it was forwarded"));
        }
        if bench.origin.count("smuggled") > 0 {
            faults.push(format!("{name}: what it hid was forwarded"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    neighbour.assert_unaffected();
    Ok(())
}

fn refuse(table: &[Case]) -> Result<()> {
    let case = |(number, (name, block)): (usize, &Case)| {
        let block = block(&format!("mark-{number}-"));
        (*name, vec![Frame::headers(1, block, END_STREAM)])
    };
    let cases: Vec<_> = table.iter().enumerate().map(case).collect();
    assert_refused(&Bench::start()?, &cases, false)
}

#[test]
fn field_that_http_1_would_read_differently_is_refused() -> Result<()> {
    refuse(FIELDS)
}

#[test]
fn pseudo_field_that_http_1_would_read_differently_is_refused() -> Result<()> {
    refuse(PSEUDO)
}

/// A length with a stream that ended already: the server would wait for a body, and take the next request for it.
#[test]
fn cve_2026_48743_length_without_body_is_refused() -> Result<()> {
    refuse(&[
        ("a length without a body", |mark| {
            get(mark).with("content-length", "5")
        }),
        ("a length without a body, POST", |mark| {
            Block::request("POST", &format!("/{mark}")).with("content-length", "40")
        }),
    ])
}

/// The head may have gone on; the body is cut off, and never looks whole.
#[test]
fn length_that_differs_from_the_data_is_refused() -> Result<()> {
    let bench = Bench::start()?;
    let case = |(number, (name, frames)): (usize, &Contradiction)| {
        (*name, frames(&format!("mark-{number}-")))
    };
    let cases: Vec<_> = LENGTHS.iter().enumerate().map(case).collect();
    assert_refused(&bench, &cases, true)
}

/// The codec takes a fragment off: nobody matches, logs or forwards it.
#[test]
fn cve_2021_39156_fragment_in_the_path_is_nobodys() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    for (stream, path) in [(1, "/one#/../admin"), (3, "/two?q=1#x")] {
        client.send(&Frame::get(stream, path))?;
        let reply = client.reply(stream)?;
        assert!([200, 400].contains(&reply.status), "{path}: {reply:?}");
    }
    let heard = bench.origin.heard().concat();
    assert!(!heard.contains('#') && !heard.contains("admin"), "{heard}");
    Ok(())
}

/// They are refused, or left out.
#[test]
fn trailers_with_pseudo_fields_change_nothing() -> Result<()> {
    let bench = Bench::start()?;
    let trailers = Block::default().with(":path", "/smuggled").with("x-a", "b");
    let frames = vec![
        Frame::headers(1, Block::request("POST", "/mark-0-"), 0),
        Frame::new(kind::DATA, 0, 1, *b"hello"),
        Frame::headers(1, trailers, END_STREAM),
    ];
    let outcome = outcome(&bench, &frames)?;
    assert!(["refused", "200"].contains(&outcome.as_str()), "{outcome}");
    let heard = bench.origin.heard().concat();
    assert!(
        !heard.contains(":path") && !heard.contains("smuggled"),
        "{heard}"
    );
    Ok(())
}

/// Requests as clients send them, to a server that speaks HTTP/1.
#[test]
fn requests_in_form_are_answered() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Frames::connect(bench.address)?;
    client.send(&Frame::headers(
        1,
        get("plain")
            .with("te", "trailers")
            .with("cookie", "a=b")
            .with("cookie", "c=d"),
        END_STREAM,
    ))?;
    let reply = client.reply(1)?;
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, b"ok".as_slice())
    );
    for (stream, frame) in [3, 5].into_iter().zip([Some("5"), None]) {
        let mut block = Block::request("POST", "/body");
        if let Some(length) = frame {
            block = block.with("content-length", length);
        }
        client.send(&Frame::headers(stream, block, 0))?;
        client.send(&Frame::new(kind::DATA, 0, stream, *b"hel"))?;
        client.send(&Frame::new(kind::DATA, END_STREAM, stream, *b"lo"))?;
        let reply = client.reply(stream)?;
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, b"hello".as_slice())
        );
    }
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    // Source: RFC 9113 §8.2.3: one field again, for a server of HTTP/1.
    assert!(heard.contains("cookie: a=b; c=d\r\n"), "{heard}");
    assert!(!heard.contains("te: gzip"), "{heard}");
    Ok(())
}
