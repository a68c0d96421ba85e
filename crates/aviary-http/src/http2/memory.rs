//! Memory that streams borrow.

use crate::request::RequestHead;
use crate::response::ResponseHead;

/// Heads and bodies that are kept for later.
const KEPT: usize = 128;

/// Largest memory of a body that is kept, in bytes.
const BODY_KEPT: usize = 4 << 10;

/// Memory that is lent to streams and comes back when they are over, for all connections of a
/// thread.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a head goes in and out without being copied"
)]
pub struct Memory {
    requests: Vec<Box<RequestHead>>,
    replies: Vec<Box<ResponseHead>>,
    bodies: Vec<Vec<u8>>,
}

impl Memory {
    /// An empty head.
    pub fn request(&mut self) -> Box<RequestHead> {
        let mut head = self.requests.pop().unwrap_or_default();
        head.clear();
        head
    }

    /// Takes a head back.
    pub fn give_request(&mut self, head: Box<RequestHead>) {
        if self.requests.len() < KEPT {
            self.requests.push(head);
        }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "it is kept as it is")]
    pub(super) fn reply(&mut self) -> Box<ResponseHead> {
        let mut head = self.replies.pop().unwrap_or_default();
        head.clear();
        head
    }

    pub(super) fn give_reply(&mut self, head: Box<ResponseHead>) {
        if self.replies.len() < KEPT {
            self.replies.push(head);
        }
    }

    pub(super) fn body(&mut self) -> Vec<u8> {
        self.bodies.pop().unwrap_or_default()
    }

    /// Takes the memory of a body back.
    pub fn give_body(&mut self, mut body: Vec<u8>) {
        if (1..=BODY_KEPT).contains(&body.capacity()) && self.bodies.len() < KEPT {
            body.clear();
            self.bodies.push(body);
        }
    }
}
