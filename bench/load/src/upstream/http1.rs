//! HTTP/1.1 requests without bodies.

use memchr::memmem;

/// Bytes of each answer's body.
const BODY: usize = 1024;

/// The answer to every request.
pub(super) fn answer() -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nserver: bench-load\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         content-type: text/plain\r\ncontent-length: {BODY}\r\nx-backend: 1\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + BODY, b'x');
    answer
}

/// Answers each whole head in `input`; gives the bytes that are done with.
pub(super) fn requests(input: &[u8], answer: &[u8], out: &mut Vec<u8>) -> usize {
    let mut consumed = 0;
    while let Some(rest) = input.get(consumed..)
        && let Some(end) = memmem::find(rest, b"\r\n\r\n")
    {
        consumed += end + 4;
        out.extend_from_slice(answer);
    }
    consumed
}

#[cfg(test)]
mod tests {
    use super::requests;

    #[test]
    fn requests_one_and_a_half_get_one_answer() {
        let mut out = Vec::new();
        let consumed = requests(
            b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n",
            b"answer",
            &mut out,
        );
        assert_eq!((consumed, out.as_slice()), (18, b"answer".as_slice()));
    }
}
