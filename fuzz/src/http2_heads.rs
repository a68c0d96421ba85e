//! Heads of HTTP/2 on their way to HTTP/1.

use aviary_http::parse::Limits;
use aviary_http::{Connection, RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Reads `data`: a first byte whose lowest bit ends the stream, a line with a method, one with a
/// URI, and lines `name:value`, divided by byte 0xfe. What is let through must be well-formed in
/// HTTP/1.
pub fn run(data: &[u8]) {
    let (number, data) = crate::number(data);
    let end_stream = number % 2 == 1;
    let mut lines = data.split(|byte| *byte == 0xfe);
    let method = Method::from_bytes(lines.next().unwrap_or_default());
    let uri = Uri::try_from(lines.next().unwrap_or_default());
    let fields = fields(lines);
    response(&fields, end_stream);
    if let (Ok(method), Ok(uri)) = (method, uri) {
        let mut request = http::Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        *request.headers_mut() = fields;
        let Ok(head) =
            RequestHead::from_h2(&request.into_parts().0, end_stream, &Limits::default())
        else {
            return;
        };
        let mut out = Vec::new();
        head.write_http1(&mut out, head.framing, false);
        let again = crate::request::read(&out);
        assert!(again.is_some(), "{:?}", String::from_utf8_lossy(&out));
        if let Some((again, end)) = again {
            assert_eq!(end, out.len());
            assert_eq!(again.authority(), head.authority());
            assert_eq!(again.path(), head.path());
            assert_eq!(again.framing, head.framing);
            assert_eq!(again.fields, head.fields);
        }
    }
}

fn response(fields: &HeaderMap, end_stream: bool) {
    let mut response = http::Response::new(());
    *response.headers_mut() = fields.clone();
    let Ok(head) = ResponseHead::from_h2(&response.into_parts().0, false, end_stream) else {
        return;
    };
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, Connection::default());
    let ends = out.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
    assert_eq!(ends, 1, "one head, and nothing behind it");
}

/// As many fields as a head may have.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.take(120) {
        let at = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_bytes(value.get(1..).unwrap_or_default()),
        ) {
            map.append(name, value);
        }
    }
    map
}
