use super::{Decoder, Step, write_chunk_head, write_last_chunk};
use crate::{Error, Framing};

/// Decodes `input` in pieces of `size`; the body, the trailers as text, and what is left over.
fn decode(input: &[u8], size: usize) -> Result<(Vec<u8>, Option<String>, usize), Error> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut body = Vec::new();
    let (mut at, mut end) = (0, 0);
    loop {
        match decoder.decode(&input[at..end])? {
            Step::More { consumed } => {
                at += consumed;
                if end == input.len() {
                    return Err(Error::BadChunk);
                }
                end = input.len().min(end + size);
            }
            Step::Data { skip, len } => {
                body.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
            }
            Step::End { consumed, trailers } => {
                let trailers = trailers.map(|trailers| {
                    let mut out = Vec::new();
                    trailers.write_runs(&mut out);
                    String::from_utf8(out).unwrap()
                });
                return Ok((body, trailers, input.len() - at - consumed));
            }
        }
    }
}

#[test]
fn chunks_in_any_pieces_give_the_body() {
    let input = b"5;a=b\r\nhello\r\n00C\r\n, wide world\r\n0\r\nX-Sum: 1\r\nhost: x\r\n\r\nGET";
    for size in 1..input.len() {
        let (body, trailers, left) = decode(input, size).unwrap();
        assert_eq!(body, b"hello, wide world");
        assert_eq!(trailers.as_deref(), Some("X-Sum: 1\r\n"));
        assert!(left <= 3);
    }
}

#[test]
fn chunks_written_are_read_again() {
    let mut out = Vec::new();
    for piece in [&b"x".repeat(300)[..], b"y"] {
        write_chunk_head(&mut out, piece.len());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    write_last_chunk(&mut out, None);
    assert!(out.starts_with(b"12c\r\n"));
    let (body, trailers, left) = decode(&out, 7).unwrap();
    assert_eq!((body.len(), trailers, left), (301, None, 0));
}
