//! Everything that is refused, rule by rule: LIMITS of framing, and the classes of attacks that
//! other proxies fell to.

use super::tests::{read_request, read_response};
use super::{Limits, Scanner};
use crate::Error;

/// Fields after a good request line and host.
fn fields(fields: &str, error: Error) {
    let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    assert_eq!(read_request(&text).err(), Some(error), "{text:?}");
}

/// A whole request.
fn whole(text: &str, error: Error) {
    assert_eq!(read_request(text).err(), Some(error), "{text:?}");
}

/// A request line before a good host.
fn line(line: &str, error: Error) {
    whole(&format!("{line}\r\nhost: a\r\n\r\n"), error);
}

#[test]
fn length_with_transfer_encoding_is_refused_in_any_order() {
    fields(
        "content-length: 4\r\ntransfer-encoding: chunked",
        Error::LengthAndChunked,
    );
    fields(
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        Error::LengthAndChunked,
    );
}

#[test]
fn lengths_several_or_in_a_list_are_refused() {
    fields(
        "content-length: 4\r\ncontent-length: 5",
        Error::BadContentLength,
    );
    fields(
        "content-length: 4\r\nCONTENT-LENGTH: 4",
        Error::BadContentLength,
    );
    fields("content-length: 4, 4", Error::BadContentLength);
    fields("content-length: 4,5", Error::BadContentLength);
    // As long as a number may be, and more than one could hold.
    fields("content-length:/a:80/x?y HTTP/1.0", Error::BadContentLength);
    fields(
        "content-length: zzzzzzzzzzzzzzzzzz",
        Error::BadContentLength,
    );
}

#[test]
fn length_not_only_digits_is_refused() {
    // An empty one is CVE-2023-40225.
    for value in [
        "",
        " ",
        "+4",
        "-4",
        "-0",
        "0x4",
        "4 4",
        "4_0",
        "1e1",
        "4.0",
        "4;",
        "four",
        "\u{664}",
        "9223372036854775808",
        "18446744073709551620",
        "99999999999999999999999999999",
    ] {
        fields(&format!("content-length:{value}"), Error::BadContentLength);
    }
    let text = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\t9223372036854775807 \r\n\r\n";
    let head = read_request(text).unwrap();
    assert_eq!(head.framing.length(), Some(i64::MAX as u64));
}

#[test]
fn transfer_encoding_other_than_chunked_is_refused() {
    for value in [
        "",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "xchunked",
        "chunke",
        "\"chunked\"",
        "identity",
        "chunked identity",
        "chunked\u{b}",
        "\u{a0}chunked",
    ] {
        let error = if value.bytes().any(|byte| byte < 0x20) {
            Error::BadByte
        } else {
            Error::BadTransferEncoding
        };
        fields(&format!("transfer-encoding: {value}"), error);
    }
    fields(
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        Error::BadTransferEncoding,
    );
    fields(
        "transfer-encoding: chunked\r\nTransfer-Encoding: identity",
        Error::BadTransferEncoding,
    );
    whole(
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        Error::TransferEncodingNotAllowed,
    );
}

#[test]
fn names_broken_or_empty_are_refused() {
    // An empty name is CVE-2023-25725.
    for text in [
        "content-length : 4",
        "content-length\t: 4",
        ": 4",
        ":",
        "no colon",
        "x",
        "a b: c",
        "x\"y: z",
        "x(: y",
        "x\u{e9}: y",
        "x@y: z",
        "[x]: y",
    ] {
        fields(text, Error::BadField);
    }
    // A name with `_` is another name than with `-`, and goes on as it is.
    let head = read_request("GET / HTTP/1.1\r\nhost: a\r\ncontent_length: 4\r\n\r\n").unwrap();
    assert_eq!(head.fields.get("content_length"), Some(&b"4"[..]));
    assert_eq!(head.framing, crate::Framing::None);
}

#[test]
fn lines_folded_or_indented_are_refused() {
    fields("x: y\r\n z", Error::BadField);
    fields("x: y\r\n\tz: 1", Error::BadField);
    fields("transfer-encoding:\r\n chunked", Error::BadTransferEncoding);
    whole("GET / HTTP/1.1\r\n host: a\r\n\r\n", Error::BadField);
    whole(" GET / HTTP/1.1\r\nhost: a\r\n\r\n", Error::BadStartLine);
}

#[test]
fn cr_lf_and_nul_alone_are_refused() {
    for text in [
        "x: a\rb",
        "x: a\nb: c",
        "x: a\r\r",
        "x: a\n",
        "x\r: a",
        "x: a\0b",
        "\0x: a",
        "x: \u{1}",
        "x: \u{7f}",
        "x: a\u{b}b",
        "\r\r",
        "\rtransfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
    ] {
        fields(text, Error::BadByte);
    }
    whole("GET / HTTP/1.1\nhost: a\n\n", Error::BadByte);
    whole("GET / HTTP/1.1\r\nhost: a\r\n\n", Error::BadByte);
    whole("GET / HTTP/1.1\r\nhost: a\n\r\n", Error::BadByte);
    whole("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Error::BadStartLine);
    whole("GET /\ra HTTP/1.1\r\nhost: a\r\n\r\n", Error::BadByte);
}

#[test]
fn head_not_complete_but_broken_is_refused_at_once() {
    for text in [
        "GET / HTTP/1.1\n",
        "\n",
        "GET /\0",
        "GET / HTTP/1.1\rh",
        "\r\r",
        "\r\n\r\n\rG",
    ] {
        let found = Scanner::new().end(text.as_bytes(), &Limits::default());
        assert_eq!(found, Err(Error::BadByte), "{text:?}");
        let mut scanner = Scanner::new();
        let found = (0..=text.len())
            .map(|have| scanner.end(&text.as_bytes()[..have], &Limits::default()))
            .find(Result::is_err);
        assert_eq!(found, Some(Err(Error::BadByte)), "{text:?} byte by byte");
    }
}

#[test]
fn blank_lines_before_a_request_are_few() {
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert!(read_request(&format!("{}{request}", "\r\n".repeat(4))).is_ok());
    whole(
        &format!("{}{request}", "\r\n".repeat(5)),
        Error::BadStartLine,
    );
}

#[test]
fn names_longer_than_any_counter_hide_nothing() {
    // CVE-2021-40346: a length of 256 and more wrapped around and became another name.
    for length in [255, 256, 270, 4096, 60_000] {
        let name = format!("content-length{}", "0".repeat(length - 14));
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{name}:\r\ncontent-length: 23\r\n\r\n");
        let head = read_request(&text).unwrap();
        assert_eq!(head.framing, crate::Framing::Length(23));
        let sent: Vec<_> = head.fields.iter().map(|(name, _)| name.len()).collect();
        assert_eq!(sent, [length]);
    }
}

#[test]
fn request_lines_of_another_form_are_refused() {
    for text in [
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.10",
        "/ HTTP/1.1",
        "GET / XTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET / HTTP/a.b",
    ] {
        line(text, Error::BadStartLine);
    }
    for text in [
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "PRI * HTTP/2.0",
    ] {
        line(text, Error::BadVersion);
    }
}

#[test]
fn targets_with_odd_bytes_or_of_no_form_are_refused() {
    // `#` is CVE-2023-45539 and CVE-2021-39156.
    for target in [
        "/a#b",
        "/#",
        "#",
        "/\u{e9}",
        "/a\tb",
        "a",
        "a/b",
        "?a",
        "a:80",
        "*",
        "/a\u{a0}",
        "ftp://a/",
        "http:/a/",
        "http//a/",
        "http://a?b",
        "//",
        "http:///x",
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let error = match target {
            "//" => None,
            "http:///x" => Some(Error::BadHost),
            _ => Some(Error::BadTarget),
        };
        assert_eq!(read_request(&text).err(), error, "{target:?}");
    }
    line("GET /\u{7f} HTTP/1.1", Error::BadTarget);
    line("GET /\u{1} HTTP/1.1", Error::BadTarget);
}

#[test]
fn hosts_missing_several_or_odd_are_refused() {
    let host = |lines: &str, error| whole(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), error);
    host("", Error::MissingHost);
    host("x: y\r\n", Error::MissingHost);
    host("host:\r\n", Error::MissingHost);
    host("host: \t \r\n", Error::MissingHost);
    host("host: a\r\nhost: a\r\n", Error::SeveralHosts);
    host("host: a\r\nHOST: b\r\n", Error::SeveralHosts);
    for odd in [
        "a b", "a/b", "a?b", "a#b", "a@b", "a,b", "a\\b", "\u{e9}", "<a>", "a\tb", "\"a\"",
    ] {
        host(&format!("host: {odd}\r\n"), Error::BadHost);
    }
    whole("GET / HTTP/1.0\r\n\r\n", Error::MissingHost);
}

#[test]
fn host_that_disagrees_with_the_target_is_refused() {
    line("GET http://b/ HTTP/1.1", Error::HostMismatch);
    line("GET http://a:80/ HTTP/1.1", Error::HostMismatch);
    line("GET http://x@a/ HTTP/1.1", Error::BadHost);
    line("GET http://a\\b/ HTTP/1.1", Error::BadHost);
    line("CONNECT b:443 HTTP/1.1", Error::HostMismatch);
    line("CONNECT /a HTTP/1.1", Error::BadHost);
    whole("GET http://a/ HTTP/1.1\r\n\r\n", Error::MissingHost);
}

#[test]
fn connection_that_names_what_others_rely_on_is_refused() {
    for name in [
        "host",
        "Content-Length",
        "transfer-encoding",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "x-forwarded-client-cert",
        "authorization",
        "cookie",
        "forwarded",
    ] {
        fields(&format!("connection: close, {name}"), Error::BadConnection);
    }
    fields("connection: :authority", Error::BadConnection);
    let many = "x,".repeat(11);
    fields(&format!("connection: {many}"), Error::BadConnection);
}

#[test]
fn responses_that_are_broken_are_refused() {
    let check = |text: &str, error| {
        let text = format!("{text}\r\n\r\n");
        assert_eq!(read_response(&text, false).err(), Some(error), "{text:?}");
    };
    for text in [
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 099 x",
        "HTTP/1.1  200",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 -20 x",
    ] {
        check(text, Error::BadStartLine);
    }
    check("HTTP/1.1 200 O\u{1}", Error::BadByte);
    check("HTTP/2.0 200 OK", Error::BadVersion);
    let fields = |text: &str, error| check(&format!("HTTP/1.1 200 OK\r\n{text}"), error);
    fields(
        "content-length: 1\r\ntransfer-encoding: chunked",
        Error::LengthAndChunked,
    );
    fields(
        "content-length: 1\r\ncontent-length: 1",
        Error::BadContentLength,
    );
    fields(
        "transfer-encoding: gzip, chunked",
        Error::BadTransferEncoding,
    );
    fields("x : y", Error::BadField);
    fields("x: y\r\n z", Error::BadField);
    check(
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        Error::TransferEncodingNotAllowed,
    );
    check(
        "HTTP/1.1 204 x\r\ntransfer-encoding: chunked",
        Error::TransferEncodingNotAllowed,
    );
    check(
        "HTTP/1.1 101 x\r\ntransfer-encoding: chunked",
        Error::TransferEncodingNotAllowed,
    );
    check(
        "HTTP/1.1 204 x\r\ncontent-length: 5",
        Error::ContentLengthNotAllowed,
    );
    check(
        "HTTP/1.1 103 x\r\ncontent-length: 5",
        Error::ContentLengthNotAllowed,
    );
}
