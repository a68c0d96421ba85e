//! A chunked body.

use aviary_http::body::{Decoder, Step, write_chunk_head, write_last_chunk};
use aviary_http::{Error, Fields, Framing};

/// What a body gave: its bytes, its trailers, and how many bytes it took; `None` when it did not
/// end.
type Read = Result<Option<(Vec<u8>, Option<Fields>, usize)>, Error>;

/// Decodes `data`: a first byte that says into what pieces it is cut, and a chunked body.
pub fn run(data: &[u8]) {
    let (size, data) = crate::number(data);
    let whole = decode(data, data.len().max(1));
    assert_eq!(decode(data, size % 17 + 1), whole);
    assert_eq!(decode(data, 1), whole);
    let Ok(Some((body, trailers, taken))) = whole else {
        return;
    };
    assert!(body.len() < taken && taken <= data.len());
    let mut out = Vec::new();
    for chunk in body.chunks(size + 1) {
        write_chunk_head(&mut out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    write_last_chunk(&mut out, trailers.as_ref());
    let length = out.len();
    assert_eq!(decode(&out, length), Ok(Some((body, trailers, length))));
}

fn decode(input: &[u8], size: usize) -> Read {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut body = Vec::new();
    let (mut at, mut have) = (0, size.min(input.len()));
    loop {
        match decoder.decode(&input[at..have])? {
            Step::More { consumed } => {
                assert_eq!(at + consumed, have, "all that is no data is taken");
                at = have;
                if have == input.len() {
                    return Ok(None);
                }
                have = (have + size).min(input.len());
            }
            Step::Data { skip, len } => {
                assert!(len > 0 && at + skip + len <= have);
                body.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
            }
            Step::End { consumed, trailers } => {
                assert!(decoder.is_done());
                return Ok(Some((body, trailers, at + consumed)));
            }
        }
    }
}
