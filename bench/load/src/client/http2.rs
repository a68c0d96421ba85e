//! Many small calls over one HTTP/2 connection.

use std::time::Instant;

use anyhow::{Result, bail};

use super::{Finished, Received};
use crate::frames::{
    self, DATA, END_HEADERS, END_STREAM, FIRST_WINDOW, Frame, GOAWAY, HEADERS, RST_STREAM,
    WINDOW_UPDATE,
};
use crate::request::{MESSAGE, first_block, later_block};

/// Bytes of data in each good answer.
pub(crate) const ANSWER: usize = 105;

/// The client's side of one connection.
#[derive(Debug)]
pub(super) struct Client {
    calls: Vec<Call>,
    next_stream: u32,
    block: Vec<u8>,
    /// What may still be sent on the connection.
    window: i64,
    /// Calls that wait for the window.
    waiting: Vec<Instant>,
    /// DATA since the last window update.
    received: u32,
}

#[derive(Debug)]
struct Call {
    stream: u32,
    due: Instant,
    good: bool,
    data: usize,
}

impl Client {
    /// A connection; its preface goes to `out`.
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(frames::PREFACE);
        frames::write_settings(out);
        Self {
            calls: Vec::new(),
            next_stream: 1,
            block: first_block(),
            window: FIRST_WINDOW,
            waiting: Vec::new(),
            received: 0,
        }
    }

    /// Begins a call, or keeps it until the peer's window has room.
    pub(super) fn start(&mut self, due: Instant, out: &mut Vec<u8>) {
        let size = i64::try_from(MESSAGE.len()).unwrap_or(i64::MAX);
        if self.window < size {
            self.waiting.push(due);
            return;
        }
        self.window -= size;
        let stream = self.next_stream;
        self.next_stream += 2;
        frames::write(out, HEADERS, END_HEADERS, stream, &self.block);
        frames::write(out, DATA, END_STREAM, stream, &MESSAGE);
        if stream == 1 {
            self.block = later_block();
        }
        self.calls.push(Call {
            stream,
            due,
            good: false,
            data: 0,
        });
    }

    /// The calls without an answer.
    pub(super) fn in_flight(self) -> Vec<Instant> {
        let begun = self.calls.into_iter().map(|call| call.due);
        begun.chain(self.waiting).collect()
    }

    /// Takes the whole frames of `input`.
    ///
    /// # Errors
    /// The peer ends the connection.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        finished: &mut Vec<Finished>,
    ) -> Result<Received> {
        let mut consumed = 0;
        while let Some(frame) = Frame::parse(input.get(consumed..).unwrap_or_default()) {
            consumed += frame.len;
            frames::write_duties(out, &frame, &mut self.received);
            match frame.kind {
                HEADERS | DATA | RST_STREAM => self.answer(&frame, finished),
                GOAWAY => bail!("GOAWAY"),
                WINDOW_UPDATE if frame.stream == 0 => {
                    self.window += frame.increment();
                    for due in std::mem::take(&mut self.waiting) {
                        self.start(due, out);
                    }
                }
                _ => {}
            }
        }
        Ok(Received {
            consumed,
            closes: false,
        })
    }

    fn answer(&mut self, frame: &Frame<'_>, finished: &mut Vec<Finished>) {
        let Some(at) = self.calls.iter().position(|c| c.stream == frame.stream) else {
            return;
        };
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        match frame.kind {
            // The first block is the head, the second the trailers.
            HEADERS if !call.good && call.data == 0 => call.good = is_200(frame.content()),
            DATA => call.data += frame.content().len(),
            _ => {}
        }
        let reset = frame.kind == RST_STREAM;
        if reset || frame.has(END_STREAM) {
            let call = self.calls.swap_remove(at);
            let trailers = frame.kind == HEADERS;
            let failure = if reset {
                Some("RST_STREAM".to_owned())
            } else if call.good && call.data == ANSWER && trailers {
                None
            } else {
                Some(format!(
                    "status 200: {}, {} bytes, trailers: {trailers}",
                    call.good, call.data
                ))
            };
            finished.push(Finished {
                due: call.due,
                failure,
            });
        }
    }
}

/// Whether a header block begins with `:status: 200` from the static table.
///
/// Source: RFC 7541 §6.1, §6.3; every encoder we know writes it so.
fn is_200(mut block: &[u8]) -> bool {
    // Changes of the table's size come first; those of one byte are enough here.
    while let Some((first, rest)) = block.split_first()
        && first & 0xe0 == 0x20
    {
        let long = first & 0x1f == 0x1f;
        block = rest;
        while long && let Some((byte, rest)) = block.split_first() {
            block = rest;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    block.first() == Some(&0x88)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ANSWER, Client, is_200};
    use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, write};

    #[test]
    fn status_is_found_behind_changes_of_the_table() {
        assert!(is_200(&[0x88, 0x5f]));
        assert!(is_200(&[0x20, 0x3f, 0xe1, 0x1f, 0x88]));
        assert!(!is_200(&[0x8d]));
    }

    #[test]
    fn call_is_good_only_with_status_message_and_trailers() {
        for (size, good) in [(ANSWER, true), (ANSWER - 1, false)] {
            let mut client = Client::new(&mut Vec::new());
            client.start(Instant::now(), &mut Vec::new());
            let mut answer = Vec::new();
            write(&mut answer, HEADERS, END_HEADERS, 1, &[0x88]);
            write(&mut answer, DATA, 0, 1, &vec![0; size]);
            write(&mut answer, HEADERS, END_HEADERS | END_STREAM, 1, &[0xbe]);
            let mut finished = Vec::new();
            let received = client
                .receive(&answer, &mut Vec::new(), &mut finished)
                .unwrap();
            assert_eq!(received.consumed, answer.len());
            assert_eq!(finished[0].failure.is_none(), good);
        }
    }
}
