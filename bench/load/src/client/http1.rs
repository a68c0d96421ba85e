//! One request at a time over HTTP/1.1; answers have a Content-Length.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use memchr::memmem;

use super::{Finished, Received};

/// The client's side of one connection.
#[derive(Debug)]
pub(super) struct Client {
    request: Vec<u8>,
    due: Option<Instant>,
}

impl Client {
    /// A connection that asks with these bytes.
    pub(super) fn new(request: Vec<u8>) -> Self {
        Self { request, due: None }
    }

    /// Begins a request.
    pub(super) fn start(&mut self, due: Instant, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
        self.due = Some(due);
    }

    /// The requests without an answer.
    pub(super) fn in_flight(self) -> Vec<Instant> {
        self.due.into_iter().collect()
    }

    /// Takes the answer when it is whole.
    ///
    /// # Errors
    /// It is not an answer to what was asked.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        finished: &mut Vec<Finished>,
    ) -> Result<Received> {
        let mut received = Received::default();
        let Some(end) = memmem::find(input, b"\r\n\r\n") else {
            return Ok(received);
        };
        let head = input.get(..end).unwrap_or_default();
        let (length, closes) = framing(head)?;
        let whole = end + 4 + length;
        if input.len() < whole {
            return Ok(received);
        }
        let due = self.due.take().context("an answer without a request")?;
        finished.push(Finished {
            due,
            failure: (!head.starts_with(b"HTTP/1.1 200")).then(|| {
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                String::from_utf8_lossy(line).into_owned()
            }),
        });
        if input.len() > whole {
            bail!("bytes after the answer");
        }
        received.consumed = whole;
        received.closes = closes;
        Ok(received)
    }
}

/// Length of the body, and whether the connection ends with it.
fn framing(head: &[u8]) -> Result<(usize, bool)> {
    let (mut length, mut closes) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        if let Some(value) = field(line, b"content-length:") {
            let text = std::str::from_utf8(value)?.trim();
            length = Some(text.parse().context("content-length")?);
        } else if let Some(value) = field(line, b"connection:") {
            closes = value.trim_ascii().eq_ignore_ascii_case(b"close");
        }
    }
    Ok((length.context("an answer without content-length")?, closes))
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::Client;

    #[test]
    fn answer_is_taken_when_it_is_whole() {
        let mut client = Client::new(Vec::new());
        let mut finished = Vec::new();
        client.start(Instant::now(), &mut Vec::new());
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nab";
        let half = client.receive(&answer[..58], &mut finished).unwrap();
        assert_eq!((half.consumed, finished.len()), (0, 0));
        let whole = client.receive(answer, &mut finished).unwrap();
        assert_eq!((whole.consumed, whole.closes), (answer.len(), true));
        assert_eq!(finished[0].failure, None);
    }

    #[test]
    fn answer_other_than_200_is_a_failure() {
        let mut client = Client::new(Vec::new());
        let mut finished = Vec::new();
        client.start(Instant::now(), &mut Vec::new());
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        client.receive(answer, &mut finished).unwrap();
        let failure = finished[0].failure.as_deref();
        assert_eq!(failure, Some("HTTP/1.1 503 Service Unavailable"));
    }
}
