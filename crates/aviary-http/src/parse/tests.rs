use super::{Limits, Scanner, request, response};
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

fn read_response(text: &str, request_was_head: bool) -> Result<ResponseHead, Error> {
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
