use http::{HeaderMap, HeaderName, HeaderValue};

use crate::parse::Limits;
use crate::{Error, Fields, Framing, RequestHead, ResponseHead, Scheme, Version};

fn parts(uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
    let mut request = http::Request::builder().method("POST").uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn read(uri: &str, fields: &[(&str, &str)], end_stream: bool) -> Result<RequestHead, Error> {
    RequestHead::from_h2(&parts(uri, fields), end_stream, &Limits::default())
}

const URI: &str = "https://reviews:9080/a?b=c";

#[test]
fn request_goes_from_http2_to_http1() {
    let fields = [
        ("x-one", "1"),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("cookie", "b=2"),
    ];
    let head = read(URI, &fields, false).unwrap();
    assert_eq!(head.version(), Version::Http2);
    assert_eq!(head.scheme(), Scheme::Https);
    assert_eq!(head.framing, Framing::Chunked);
    assert!(head.connection.te_trailers);
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, false);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "POST /a?b=c HTTP/1.1\r\nhost: reviews:9080\r\nx-one: 1\r\nte: trailers\r\ncookie: a=1; b=2\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn request_of_http1_goes_to_http2_and_back() {
    let input =
        b"PUT /a?b HTTP/1.1\r\nHost: a:80\r\nX-One: \xff 1\r\ncontent-length: 5\r\nEmpty:\r\n\
        te: trailers\r\n\r\n";
    let mut head = RequestHead::new();
    crate::parse::request(input, &Limits::default(), &mut head).unwrap();
    let request = head.to_h2().unwrap();
    assert_eq!(request.uri(), "http://a:80/a?b");
    assert_eq!(request.headers()["x-one"].as_bytes(), b"\xff 1");
    assert_eq!(request.headers()["content-length"], "5");
    assert!(!request.headers().contains_key("host"));
    let again = RequestHead::from_h2(&request.into_parts().0, false, &Limits::default()).unwrap();
    assert_eq!(again.framing, Framing::Length(5));
    assert_eq!(
        (again.method(), again.authority(), again.path()),
        ("PUT", "a:80", "/a?b")
    );
    assert_eq!(again.fields.get("x-one"), head.fields.get("x-one"));
    assert_eq!(again.fields.len(), head.fields.len());
}

#[test]
fn request_with_fields_of_a_connection_is_refused() {
    for (name, value, error) in [
        ("connection", "close", Error::ConnectionField),
        ("keep-alive", "1", Error::ConnectionField),
        ("proxy-connection", "x", Error::ConnectionField),
        ("upgrade", "websocket", Error::ConnectionField),
        ("http2-settings", "x", Error::ConnectionField),
        ("te", "gzip", Error::ConnectionField),
        ("te", "trailers, gzip", Error::ConnectionField),
        (
            "transfer-encoding",
            "chunked",
            Error::TransferEncodingNotAllowed,
        ),
        ("content-length", "+5", Error::BadContentLength),
        ("content-length", "", Error::BadContentLength),
        ("host", "other", Error::HostMismatch),
        ("host", "reviews", Error::HostMismatch),
    ] {
        assert_eq!(
            read(URI, &[(name, value)], false).err(),
            Some(error),
            "{name}: {value}"
        );
    }
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(
        read(URI, &twice, false).err(),
        Some(Error::BadContentLength)
    );
    let twice = [("host", "reviews:9080"), ("host", "reviews:9080")];
    assert_eq!(read(URI, &twice, false).err(), Some(Error::SeveralHosts));
    assert_eq!(read("/a", &[], false).err(), Some(Error::MissingHost));
    assert_eq!(read("https://u@a/", &[], false).err(), Some(Error::BadHost));
    assert_eq!(
        read("/a", &[("host", "a")], false).unwrap().authority(),
        "a"
    );
    assert_eq!(
        read(URI, &[("host", "Reviews:9080")], false)
            .unwrap()
            .authority(),
        "reviews:9080"
    );
}

#[test]
fn request_over_a_limit_is_refused() {
    let crumbs = vec![("cookie", "a=b"); 1500];
    assert_eq!(read("https://a", &crumbs, true).unwrap().fields.len(), 1);
    let crumbs = vec![("cookie", "a=b"); 1600];
    assert_eq!(
        read("https://a", &crumbs, true).err(),
        Some(Error::HeadTooLarge)
    );
    let fields = vec![("x-a", "b"); 129];
    assert_eq!(
        read("https://a", &fields, true).err(),
        Some(Error::TooManyFields)
    );
    let uri = format!("https://a/{}", "p".repeat(16 << 10));
    assert_eq!(read(&uri, &[], true).err(), Some(Error::TargetTooLong));
}

#[test]
fn request_target_of_another_form_is_refused() {
    assert_eq!(
        read("a:80", &[], false).err(),
        Some(Error::BadTarget),
        "only CONNECT has no path"
    );
    let head = read("https://a", &[("expect", "100-Continue")], false).unwrap();
    assert_eq!((head.path(), head.connection.expect_continue), ("/", true));
    assert!(head.fields.is_empty());
}

#[test]
fn request_framing_follows_length_and_end_of_stream() {
    // A length that the frames do not keep is CVE-2026-48743 in another version of HTTP.
    let framing = |length: &[(&str, &str)], end| read(URI, length, end).map(|head| head.framing);
    assert_eq!(framing(&[], true), Ok(Framing::None));
    assert_eq!(framing(&[], false), Ok(Framing::Chunked));
    assert_eq!(
        framing(&[("content-length", "0")], true),
        Ok(Framing::Length(0))
    );
    assert_eq!(
        framing(&[("content-length", "7")], false),
        Ok(Framing::Length(7))
    );
    assert_eq!(
        framing(&[("content-length", "7")], true),
        Err(Error::LengthMismatch)
    );
}

#[test]
fn value_with_bytes_that_http1_cannot_carry_does_not_exist() {
    for bytes in [&b"a\r\nb: c"[..], b"a\nb", b"a\0b", b"a\rb"] {
        assert!(
            HeaderValue::from_bytes(bytes).is_err(),
            "the codec's type refuses it"
        );
    }
    let head = read(URI, &[("x", " a\tb ")], true).unwrap();
    assert_eq!(head.fields.get("x"), Some(&b"a\tb"[..]));
}

#[test]
fn response_goes_both_ways() {
    let response = http::Response::builder()
        .status(200)
        .header("content-length", "3")
        .header("grpc-status", "0")
        .body(())
        .unwrap();
    let parts = response.into_parts().0;
    let head = ResponseHead::from_h2(&parts, false, false).unwrap();
    assert_eq!(head.framing, Framing::Length(3));
    assert!(head.persists() && !head.is_interim());
    assert!(!head.fields.contains("content-length"));
    let again = head.to_h2().unwrap();
    assert_eq!(again.headers(), &parts.headers);
    let to_head = ResponseHead::from_h2(&parts, true, true).unwrap();
    assert_eq!(to_head.framing, Framing::None);
    assert_eq!(to_head.fields.get("content-length"), Some(&b"3"[..]));
    assert_eq!(
        to_head
            .to_h2()
            .unwrap()
            .headers()
            .get_all("content-length")
            .iter()
            .count(),
        1
    );
    assert_eq!(
        ResponseHead::from_h2(&parts, false, true).err(),
        Some(Error::LengthMismatch)
    );
}

#[test]
fn trailers_go_both_ways_without_what_may_not_be_there() {
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", "0"),
        ("host", "a"),
        ("content-length", "1"),
        ("x", "y"),
    ] {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let fields = Fields::from_h2_trailers(&map).unwrap();
    let mut out = Vec::new();
    fields.write_runs(&mut out);
    assert_eq!(out, b"grpc-status: 0\r\nx: y\r\n");
    let again = fields.to_h2_trailers().unwrap();
    assert_eq!(again.len(), 2);
}
