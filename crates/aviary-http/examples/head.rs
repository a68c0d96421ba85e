//! Reads and writes a request's head many times, to count instructions:
//! `valgrind --tool=callgrind target/release/examples/head 10000 write`.

use std::hint::black_box;

use aviary_http::parse::{Limits, Scanner, request};
use aviary_http::{Framing, RequestHead};

const HEAD: &[u8] = b"GET /api/v1/products/1234/reviews?limit=20&offset=40 HTTP/1.1\r\n\
host: reviews.default.svc.cluster.local:9080\r\n\
user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0\r\n\
accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
accept-encoding: gzip, deflate, br\r\n\
accept-language: en-GB,en;q=0.9\r\n\
authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefg\r\n\
cookie: session=0123456789abcdef0123456789abcdef; theme=dark; user=jason\r\n\
x-request-id: 5b3f1d7e-0c5e-4b0e-9c1b-6d6f4b1f6a7e\r\n\
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
x-forwarded-for: 10.1.2.3\r\n\
end-user: jason\r\n\
\r\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds: u32 = arguments
        .next()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1);
    let write = arguments.next().is_some();
    let limits = Limits::default();
    let mut head = RequestHead::new();
    let mut out = Vec::with_capacity(4096);
    for _ in 0..rounds {
        let input = black_box(HEAD);
        let end = Scanner::new().end(input, &limits).ok().flatten();
        let read = request(&input[..end.unwrap_or(0)], &limits, &mut head);
        assert!(read.is_ok());
        if write {
            out.clear();
            head.fields.remove("authorization");
            head.fields.set("x-forwarded-for", b"10.1.2.3,10.2.3.4");
            head.write_http1(&mut out, Framing::None, false);
            black_box(&out);
        }
    }
}
