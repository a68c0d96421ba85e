//! Heads that are refused, and those that only look as if.

use anyhow::Result;
use aviary_tests::raw::Raw;

use super::{Case, cases};
use crate::bench::Bench;

/// Lengths of the body that are no length, or several.
const LENGTHS: &[(&str, &[u8])] = &[
    ("length and chunked", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG"),
    ("chunked and length", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\nG"),
    ("two equal lengths", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi"),
    ("two lengths", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\ncontent-length: 0\r\n\r\nhi"),
    ("a list of equal lengths", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2, 2\r\n\r\nhi"),
    ("a length with a plus", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: +2\r\n\r\nhi"),
    ("a negative length", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: -2\r\n\r\nhi"),
    ("a hexadecimal length", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0x2\r\n\r\nhi"),
    ("a length with a fraction", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2.0\r\n\r\nhi"),
    ("a length with an underscore", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0_2\r\n\r\nhi"),
    ("a length with a blank inside", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0 2\r\n\r\nhi"),
    ("a length of 2^63", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 9223372036854775808\r\n\r\nhi"),
    ("a length that overflows to 2", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 18446744073709551618\r\n\r\nhi"),
];

/// Transfer codings other than exactly `chunked`.
const CODINGS: &[(&str, &[u8])] = &[
    ("chunked twice", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("two lines of chunked", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked and identity", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"),
    ("identity", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"),
    ("chunked before identity", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("xchunked", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked in quotes", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("chunked with a parameter", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    ("chunked after a vertical tab", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("chunked before a comma", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked,\r\n\r\n0\r\n\r\n"),
    ("an empty coding", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding:\r\n\r\n0\r\n\r\n"),
    ("gzip before chunked", b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in HTTP/1.0", b"POST /{} HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
];

/// Lines that are no field, or could be read as another one.
const LINES: &[(&str, &[u8])] = &[
    (
        "a blank before the colon",
        b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length : 2\r\n\r\nhi",
    ),
    (
        "a tab before the colon",
        b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a blank before the name",
        b"GET /{} HTTP/1.1\r\n host: a.test\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a folded value",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\r\n c\r\n\r\n",
    ),
    (
        "a folded coding",
        b"POST /{} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a line without a colon",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a\r\n\r\n",
    ),
    (
        "CR in a value",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\rc\r\n\r\n",
    ),
    (
        "CR before a field",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\rcontent-length: 5\r\n\r\n",
    ),
    (
        "LF between fields",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\nx-b: c\r\n\r\n",
    ),
    (
        "LF after the request line",
        b"GET /{} HTTP/1.1\nhost: a.test\r\n\r\n",
    ),
    ("LF throughout", b"GET /{} HTTP/1.1\nhost: a.test\n\n"),
    (
        "LF as the blank line",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\n\nGET /hidden HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "NUL in a value",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\0c\r\n\r\n",
    ),
    (
        "NUL in a name",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-\0a: b\r\n\r\n",
    ),
    (
        "a control byte in a value",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\x01c\r\n\r\n",
    ),
    (
        "DEL in a value",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-a: b\x7fc\r\n\r\n",
    ),
    (
        "a parenthesis in a name",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx(a: b\r\n\r\n",
    ),
    (
        "a blank in a name",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx a: b\r\n\r\n",
    ),
    (
        "a letter beyond ASCII in a name",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nx-\xc3\xa4: b\r\n\r\n",
    ),
];

/// Hosts and targets.
const TARGETS: &[(&str, &[u8])] = &[
    ("no host", b"GET /{} HTTP/1.1\r\nx-a: b\r\n\r\n"),
    ("an empty host", b"GET /{} HTTP/1.1\r\nhost:\r\n\r\n"),
    (
        "two equal hosts",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\n\r\n",
    ),
    (
        "two hosts",
        b"GET /{} HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
    ),
    (
        "a host with a blank",
        b"GET /{} HTTP/1.1\r\nhost: a.test b.test\r\n\r\n",
    ),
    (
        "a host with a slash",
        b"GET /{} HTTP/1.1\r\nhost: a.test/x\r\n\r\n",
    ),
    (
        "a host with a user",
        b"GET /{} HTTP/1.1\r\nhost: me@a.test\r\n\r\n",
    ),
    (
        "a control byte in the target",
        b"GET /{}\x01 HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a tab in the target",
        b"GET /{}\tx HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "CR in the target",
        b"GET /{}\rx HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "NUL in the target",
        b"GET /{}\0x HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "DEL in the target",
        b"GET /{}\x7f HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a blank in the target",
        b"GET /{} x HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "two blanks before the target",
        b"GET  /{} HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "two blanks after the target",
        b"GET /{}  HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a blank after the version",
        b"GET /{} HTTP/1.1 \r\nhost: a.test\r\n\r\n",
    ),
    (
        "a tab for a blank",
        b"GET\t/{}\tHTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a target without a slash",
        b"GET {} HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "no target",
        b"GET HTTP/1.1\r\nhost: a.test\r\nx-a: {}\r\n\r\n",
    ),
    (
        "a method with a parenthesis",
        b"G(T /{} HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    (
        "a blank before the method",
        b" GET /{} HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ),
    ("no version", b"GET /{}\r\nhost: a.test\r\n\r\n"),
];

#[test]
fn length_that_is_none_or_several_is_refused() -> Result<()> {
    Bench::start()?.assert_refused(&cases(LENGTHS), true)
}

#[test]
fn transfer_coding_but_chunked_is_refused() -> Result<()> {
    let mut cases = cases(CODINGS);
    for case in &mut cases {
        // Source: RFC 9112 §6.1 names 501 for a coding that is not known; Envoy gives it.
        case.statuses = &[400, 501];
    }
    Bench::for_old_clients()?.assert_refused(&cases, true)
}

#[test]
fn line_that_is_no_field_is_refused() -> Result<()> {
    Bench::start()?.assert_refused(&cases(LINES), true)
}

#[test]
fn target_or_host_out_of_form_is_refused() -> Result<()> {
    Bench::start()?.assert_refused(&cases(TARGETS), true)
}

#[test]
fn version_that_is_not_spoken_is_refused() -> Result<()> {
    let bench = Bench::start()?;
    let request = |name, version: &str| Case {
        name,
        request: format!("GET /{{}} {version}\r\nhost: a.test\r\n\r\n").into_bytes(),
        // Source: RFC 9110 §15.6.6 names 505.
        // Envoy gives 426 to all that it takes for older than 1.1.
        statuses: &[400, 426, 505],
    };
    let cases = [
        request("version 1.2", "HTTP/1.2"),
        request("version 2.0", "HTTP/2.0"),
        request("version 11.1", "HTTP/11.1"),
        request("version 1.10", "HTTP/1.10"),
        request("version in small letters", "http/1.1"),
        request("another protocol", "RTSP/1.0"),
    ];
    bench.assert_refused(&cases, true)
}

#[test]
fn cve_2023_25725_empty_name_is_refused() -> Result<()> {
    let table: &[(&str, &[u8])] = &[
        (
            "an empty name",
            b"POST /{} HTTP/1.1\r\nhost: a.test\r\n: b\r\ncontent-length: 2\r\n\r\nhi",
        ),
        (
            "an empty name at the end",
            b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n:\r\n\r\nhi",
        ),
    ];
    Bench::start()?.assert_refused(&cases(table), true)
}

#[test]
fn cve_2023_40225_empty_length_is_refused() -> Result<()> {
    let table: &[(&str, &[u8])] = &[
        (
            "an empty length",
            b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length:\r\n\r\nhi",
        ),
        (
            "a blank length",
            b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length:  \r\n\r\nhi",
        ),
        (
            "a comma as length",
            b"POST /{} HTTP/1.1\r\nhost: a.test\r\ncontent-length: ,\r\n\r\nhi",
        ),
    ];
    Bench::start()?.assert_refused(&cases(table), true)
}

#[test]
fn cve_2023_45539_fragment_in_target_is_refused() -> Result<()> {
    let table: &[(&str, &[u8])] = &[
        (
            "a fragment",
            b"GET /{}#.png HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
        (
            "a fragment after a query",
            b"GET /{}?a=b#c HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
    ];
    Bench::start()?.assert_refused(&cases(table), true)
}

/// A name longer than a byte can count, which begins as a length: it is no length.
#[test]
fn cve_2021_40346_long_name_is_an_ordinary_field() -> Result<()> {
    let bench = Bench::start()?;
    let name = format!("Content-Length0{}", "a".repeat(255));
    let hidden = "GET /hidden HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let request = format!(
        "POST /long HTTP/1.1\r\nhost: a.test\r\n{name}:\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let answer = Raw::connect(bench.address)?.ask(request)?;
    assert_eq!((answer.status, answer.text().as_str()), (200, hidden));
    Ok(())
}

/// A request's body never lasts until the end of the connection.
#[test]
fn cve_2026_2835_request_without_length_has_no_body() -> Result<()> {
    let bench = Bench::for_old_clients()?;
    let mut client = Raw::connect(bench.address)?;
    client.send("POST /no-length HTTP/1.0\r\nhost: a.test\r\n\r\nGET /hidden HTTP/1.0\r\nhost: a.test\r\n\r\n")?;
    client.finish()?;
    let answer = client.answer()?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    Ok(())
}

#[test]
fn absolute_target_with_another_host_has_one_authority() -> Result<()> {
    let bench = Bench::start()?;
    let mut client = Raw::connect(bench.address)?;
    let answer = client.ask("GET http://b.test/absolute HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    // Source: RFC 9112 §3.2.2: the host of the target counts, the field is replaced.
    let seen = (bench.origin.count("b.test"), bench.origin.count("a.test"));
    match answer.status {
        400 => assert_eq!(seen, (0, 0)),
        status => assert_eq!((status, seen), (200, (1, 0))),
    }
    Ok(())
}

/// One connection after the other with a bad request costs no memory and no descriptor.
#[test]
fn bad_requests_leave_nothing_behind() -> Result<()> {
    let bench = Bench::start()?;
    let bad = |count: usize| -> Result<()> {
        for _ in 0..count {
            let mut client = Raw::connect(bench.address)?;
            assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n")?.status, 400);
        }
        Ok(())
    };
    bad(50)?;
    let before = (
        bench.proxy.memory()?.resident_kib,
        bench.proxy.descriptors()?,
    );
    bad(500)?;
    let after = (
        bench.proxy.memory()?.resident_kib,
        bench.proxy.descriptors()?,
    );
    assert!(after.0 < before.0 + 2048, "{before:?} {after:?}");
    assert!(after.1 <= before.1 + 2, "{before:?} {after:?}");
    Ok(())
}
