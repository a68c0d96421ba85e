use super::{Limits, Scanner, request, request_at_once, response, response_at_once};
use crate::{Error, Framing, RequestHead, ResponseHead, Scheme, Upgrade, Version};

pub(super) fn read_request(text: &str) -> Result<RequestHead, Error> {
    let mut head = RequestHead::new();
    let limits = Limits::default();
    match Scanner::new().end(text.as_bytes(), &limits)? {
        None => Err(Error::BadStartLine),
        Some(end) => {
            request(&text.as_bytes()[..end], &limits, &mut head)?;
            Ok(head)
        }
    }
}

pub(super) fn read_response(text: &str, request_was_head: bool) -> Result<ResponseHead, Error> {
    let mut head = ResponseHead::new(200);
    let limits = Limits::default();
    match Scanner::new().end(text.as_bytes(), &limits)? {
        None => Err(Error::BadStartLine),
        Some(end) => {
            response(
                &text.as_bytes()[..end],
                request_was_head,
                &limits,
                &mut head,
            )?;
            Ok(head)
        }
    }
}

#[test]
fn request_of_the_usual_form_is_read() {
    let head = read_request(
        "\r\nPOST /a/b?c=d HTTP/1.1\r\nHost: reviews:9080\r\nX-One:  1 \r\nContent-Length: 5\r\n\
         Cookie: a=1\r\nEmpty:\r\ncookie: b=2\r\n\r\nhello",
    )
    .unwrap();
    assert_eq!(head.method(), "POST");
    assert_eq!(head.authority(), "reviews:9080");
    assert_eq!(head.path(), "/a/b?c=d");
    assert_eq!((head.path_only(), head.query()), ("/a/b", Some("c=d")));
    assert_eq!(head.scheme(), Scheme::Http);
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.framing, Framing::Length(5));
    assert_eq!(head.fields.get("x-one"), Some(&b"1"[..]));
    assert_eq!(head.fields.get("empty"), Some(&b""[..]));
    assert_eq!(head.fields.joined("cookie").as_deref(), Some("a=1; b=2"));
    let mut out = Vec::new();
    head.write_http1(&mut out, Framing::Chunked, false);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "POST /a/b?c=d HTTP/1.1\r\nhost: reviews:9080\r\nX-One:  1 \r\nCookie: a=1\r\nEmpty:\r\n\
         cookie: b=2\r\ntransfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn request_upgrade_and_named_fields_are_taken_out() {
    let head = read_request(
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, X-Hop\r\nx-hop: 1\r\n\
         upgrade: WebSocket\r\nsec-websocket-key: k\r\nx-end: 2\r\nte: trailers, gzip\r\n\r\n",
    )
    .unwrap();
    assert_eq!(head.connection.upgrade, Some(Upgrade::WebSocket));
    let names: Vec<_> = head.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"sec-websocket-key"[..], b"x-end", b"te"]);
    assert_eq!(head.fields.get("te"), Some(&b"trailers"[..]));
}

#[test]
fn response_framing_follows_status_and_method() {
    let check = |text: &str, was_head, framing| {
        let head = read_response(text, was_head).unwrap();
        assert_eq!(head.framing, framing, "{text:?}");
        head
    };
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        false,
        Framing::Length(3),
    );
    check(
        "HTTP/1.1 200\r\ntransfer-encoding: Chunked\r\n\r\n",
        false,
        Framing::Chunked,
    );
    check("HTTP/1.0 200 \r\n\r\n", false, Framing::Close);
    check(
        "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        false,
        Framing::None,
    );
    check("HTTP/1.1 100 Continue\r\n\r\n", false, Framing::None);
    let head = check(
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        true,
        Framing::None,
    );
    assert_eq!(head.fields.get("content-length"), Some(&b"3"[..]));
    let head = check(
        "HTTP/1.1 304 Fine\r\ncontent-length: 3\r\n\r\n",
        false,
        Framing::None,
    );
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, crate::Connection::default());
    assert_eq!(out, b"HTTP/1.1 304 Fine\r\ncontent-length: 3\r\n\r\n");
}

#[test]
fn scanner_bytes_one_by_one_are_looked_at_once() {
    let mut text = String::from("GET / HTTP/1.1\r\nhost: a\r\n");
    while text.len() < 60_000 {
        text.push_str("x-long: and some more words\r\n");
    }
    text.push_str("\r\nGET");
    let end = text.len() - 3;
    let limits = Limits::default();
    let mut scanner = Scanner::new();
    for have in 0..end {
        assert_eq!(scanner.end(&text.as_bytes()[..have], &limits), Ok(None));
        assert_eq!(scanner.seen, have, "nothing is left to be looked at again");
    }
    assert_eq!(scanner.end(text.as_bytes(), &limits), Ok(Some(end)));
    assert!(!scanner.has_begun());
}

#[test]
fn scanner_limits_are_exact() {
    let limits = Limits {
        head_bytes: 100,
        fields: 2,
        target_bytes: 10,
    };
    let head = |length: usize| {
        let text = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "y".repeat(length - 32)
        );
        assert_eq!(text.len(), length);
        text
    };
    let end = |text: &str| Scanner::new().end(text.as_bytes(), &limits);
    let part = |text: String, have| Scanner::new().end(&text.as_bytes()[..have], &limits);
    assert_eq!(end(&head(100)), Ok(Some(100)));
    assert_eq!(end(&head(101)), Err(Error::HeadTooLarge));
    assert_eq!(part(head(101), 99), Ok(None));
    assert_eq!(part(head(101), 100), Err(Error::HeadTooLarge));
    assert_eq!(end(&"x".repeat(74)), Ok(None));
    assert_eq!(end(&"x".repeat(75)), Err(Error::TargetTooLong));
    let read = |text: &str| request(text.as_bytes(), &limits, &mut RequestHead::new());
    let fields = |more: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nx:\r\n{more}\r\n");
    assert_eq!(read(&fields("")), Ok(()));
    assert_eq!(read(&fields("y:\r\n")), Err(Error::TooManyFields));
    let target = |text: &str| format!("GET {text} HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(read(&target("/123456789")), Ok(()));
    assert_eq!(read(&target("/1234567890")), Err(Error::TargetTooLong));
    assert_eq!(Error::HeadTooLarge.status(), 431);
    assert_eq!(Error::TooManyFields.status(), 431);
    assert_eq!(Error::TargetTooLong.status(), 414);
}

#[test]
fn head_reused_allocates_nothing_and_forgets_everything() {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    let full =
        b"POST /x HTTP/1.0\r\nhost: abc\r\nconnection: close, keep-alive\r\nte: trailers\r\n\
        content-length: 5\r\nexpect: 100-continue\r\ny: z\r\n\r\n";
    request(full, &limits, &mut head).unwrap();
    let before = (head.fields.bytes.as_ptr(), head.fields.lines.as_ptr());
    request(
        b"GET / HTTP/1.1\r\nhost: b\r\nq: r\r\n\r\n",
        &limits,
        &mut head,
    )
    .unwrap();
    assert_eq!(
        before,
        (head.fields.bytes.as_ptr(), head.fields.lines.as_ptr())
    );
    assert_eq!(head.connection, crate::Connection::default());
    assert_eq!(head.framing, Framing::None);
    assert_eq!(
        (head.method(), head.authority(), head.path()),
        ("GET", "b", "/")
    );
    assert_eq!(head.fields.len(), 1);
}

#[test]
fn connection_persists_by_version_and_tokens() {
    let check = |version: &str, connection: &str, persists: bool| {
        let text = format!("GET / {version}\r\nhost: a\r\nConnection: {connection}\r\n\r\n");
        let head = read_request(&text).unwrap();
        assert_eq!(
            head.connection.persists(head.version()),
            persists,
            "{text:?}"
        );
        assert!(head.fields.is_empty());
    };
    check("HTTP/1.1", "", true);
    check("HTTP/1.1", "Keep-Alive", true);
    check("HTTP/1.1", "CLOSE", false);
    check("HTTP/1.1", "close , keep-alive", false);
    check("HTTP/1.0", "", false);
    check("HTTP/1.0", " ,keep-alive,", true);
    check("HTTP/1.0", "keep-alive, close", false);
}

#[test]
fn target_of_each_form_is_understood() {
    let check = |line: &str, host: &str, authority: &str, path: &str| {
        let head = read_request(&format!("{line} HTTP/1.1\r\nhost: {host}\r\n\r\n")).unwrap();
        assert_eq!((head.authority(), head.path()), (authority, path), "{line}");
    };
    check("GET /", "a", "a", "/");
    check(
        "GET //a/../b;c?d=<e>|\"",
        "a:80",
        "a:80",
        "//a/../b;c?d=<e>|\"",
    );
    check("GET http://a", "A", "a", "/");
    check("GET HTTP://A:80/x?y", "a:80", "A:80", "/x?y");
    check("GET https://[::1]:443/", "[::1]:443", "[::1]:443", "/");
    check("OPTIONS *", "a", "a", "*");
    check("CONNECT a:443", "a:443", "a:443", "");
    check("PROPFIND /", "a", "a", "/");
}

#[test]
fn upgrade_counts_only_when_connection_says_so() {
    let check = |fields: &str, upgrade| {
        let head = read_request(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.connection.upgrade, upgrade, "{fields:?}");
        assert!(!head.fields.contains("upgrade") && !head.fields.contains("http2-settings"));
    };
    check("upgrade: websocket\r\n", None);
    check("connection: upgrade\r\n", None);
    check(
        "connection: upgrade\r\nupgrade: WebSocket\r\n",
        Some(Upgrade::WebSocket),
    );
    check(
        "upgrade: foo\r\nconnection: upgrade\r\n",
        Some(Upgrade::Other),
    );
    check(
        "upgrade: websocket\r\nupgrade: foo\r\nconnection: upgrade\r\n",
        Some(Upgrade::Other),
    );
    check(
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: A\r\n",
        None,
    );
}

/// Heads with a few bytes changed, for ever the same ones.
fn mutated(seed: &[u8], number: u64) -> Vec<u8> {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut head = seed.to_vec();
    for _ in 0..draw(4) {
        let at = draw(head.len());
        match draw(3) {
            0 => head[at] = b"\r\n: \t,\0aZ9"[draw(10)],
            1 => drop(head.remove(at)),
            _ => head.insert(at, b"\r\n: \t,\0aZ9"[draw(10)]),
        }
    }
    head
}

#[test]
fn head_read_at_once_is_what_the_scanner_and_the_parser_read() {
    const SEEDS: [&[u8]; 3] = [
        b"GET /a?b HTTP/1.1\r\nhost: a\r\nuser-agent: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a:80\r\ncontent-length: 4\r\nConnection: close, x\r\nx: 1\r\n\r\nbody",
        b"\r\nGET / HTTP/1.0\r\nhost:a\r\ntransfer-encoding: chunked\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ];
    let limits = Limits {
        head_bytes: 80,
        fields: 4,
        ..Limits::default()
    };
    let mut read = 0;
    for number in 0..30_000 {
        let input = mutated(SEEDS[usize::try_from(number % 3).unwrap()], number);
        let (mut once, mut twice) = (RequestHead::new(), RequestHead::new());
        let Some(end) = request_at_once(&input, &limits, &mut once) else {
            continue;
        };
        read += 1;
        let scanned = Scanner::new().end(&input, &limits);
        assert_eq!(scanned, Ok(Some(end)), "{:?}", input.escape_ascii());
        assert_eq!(request(&input[..end], &limits, &mut twice), Ok(()));
        let written = |head: &RequestHead| {
            let mut out = Vec::new();
            head.write_http1(&mut out, head.framing, true);
            out
        };
        assert_eq!(written(&once), written(&twice));
        assert_eq!(once.connection, twice.connection);
    }
    assert!(read > 5_000, "{read}");
}

#[test]
fn head_that_is_whole_is_read_at_once_up_to_its_limit() {
    let input = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut head = ResponseHead::new(200);
    let mut read = |input: &[u8], head_bytes| {
        let limits = Limits {
            head_bytes,
            ..Limits::default()
        };
        response_at_once(input, false, &limits, &mut head)
    };
    let length = input.len() - 2;
    assert_eq!(read(input, length), Some(length));
    assert_eq!(read(&input[..length - 1], length), None);
    assert_eq!(read(input, length - 1), None);
}
