//! Memory of request heads, which a connection has only while it serves a request.

use std::cell::RefCell;

use aviary_http::RequestHead;

/// Heads that are kept for later, per thread.
const KEPT: usize = 16;

thread_local! {
    #[expect(clippy::vec_box, reason = "a head goes in and out without being copied")]
    static HEADS: RefCell<Vec<Box<RequestHead>>> = RefCell::default();
}

/// A head to read a request into.
pub(crate) fn take() -> Box<RequestHead> {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps the memory of a head for the next request.
pub(crate) fn give(head: Box<RequestHead>) {
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < KEPT {
            heads.push(head);
        }
    });
}
