//! What the requests look like.

use clap::ValueEnum;

/// The authority of all requests.
pub(crate) const HOST: &str = "bench.local";
/// A gRPC message of 64 bytes with its head.
pub(crate) const MESSAGE: [u8; 69] = {
    let mut message = [b'm'; 69];
    let head = [0, 0, 0, 0, 64];
    let mut at = 0;
    while at < head.len() {
        message[at] = head[at];
        at += 1;
    }
    message
};

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// HTTP/1.1 with three ordinary headers.
    Plain,
    /// HTTP/1.1 with eleven headers of about 750 bytes, as browsers and meshes send.
    Rich,
    /// As `plain`, and the connection ends with the answer.
    Once,
    /// HTTP/2, a small gRPC call.
    Grpc,
}

const PLAIN: &str =
    "user-agent: bench/1.0 (linux)\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\n";
const RICH: &str = concat!(
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n",
    "accept: application/json, text/plain, */*\r\n",
    "accept-encoding: gzip, deflate, br\r\n",
    "accept-language: en-GB,en;q=0.9\r\n",
    "cache-control: no-cache\r\n",
    "authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.\r\n",
    "cookie: session=0123456789abcdef0123456789abcdef; theme=dark; region=eu-west\r\n",
    "x-client: web/4.2\r\n",
    "x-team: c\r\n",
    "x-tenant-id: 7f3c2a\r\n",
    "referer: http://bench.local/shop/list?page=3\r\n",
);

impl Shape {
    /// Whether it goes over HTTP/2.
    pub(crate) fn is_http2(self) -> bool {
        self == Self::Grpc
    }

    /// The whole request as HTTP/1.1.
    pub(crate) fn http1(self) -> Vec<u8> {
        let fields = match self {
            Self::Plain | Self::Grpc => PLAIN.to_owned(),
            Self::Rich => RICH.to_owned(),
            Self::Once => format!("{PLAIN}connection: close\r\n"),
        };
        format!("GET /api/items/42 HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n").into_bytes()
    }
}

/// The header block of the first call on a connection: what repeats goes into the table.
///
/// Source: RFC 7541 §6.2.1; the path is sent literally each time, as nghttp2 does.
pub(crate) fn first_block() -> Vec<u8> {
    // :method POST and :scheme http are in the static table.
    let mut block = vec![0x83, 0x86];
    block.extend_from_slice(PATH);
    // Names by their static index: :authority 1, content-type 31, te by name, user-agent 58.
    for (index, name, value) in [
        (1, "", HOST),
        (31, "", "application/grpc"),
        (0, "te", "trailers"),
        (58, "", "bench/1.0 (linux)"),
    ] {
        block.push(0x40 | index);
        if index == 0 {
            text(&mut block, name);
        }
        text(&mut block, value);
    }
    block
}

/// The header block of each later call.
pub(crate) fn later_block() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    block.extend_from_slice(PATH);
    // The four entries of the table, the oldest last: 65, 64, 63, 62.
    block.extend_from_slice(&[0xc1, 0xc0, 0xbf, 0xbe]);
    block
}

/// `:path: /bench.Echo/Say`, without indexing.
const PATH: &[u8] = b"\x04\x0f/bench.Echo/Say";

fn text(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).unwrap_or(0x7e));
    block.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Shape, first_block, later_block};

    #[test]
    fn rich_request_has_eleven_fields_and_their_size() {
        let request = String::from_utf8(Shape::Rich.http1()).unwrap();
        let fields = request.lines().filter(|line| line.contains(": ")).count();
        assert_eq!(fields, 12, "with host");
        assert!((700..900).contains(&request.len()), "{}", request.len());
    }

    #[test]
    fn later_block_is_a_fraction_of_the_first() {
        assert_eq!(first_block().len(), 82);
        assert_eq!(later_block().len(), 23);
    }
}
