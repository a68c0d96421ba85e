//! Memory of request heads, which a connection has only while it serves a request.

use std::cell::RefCell;

use aviary_http::RequestHead;

/// Heads that are kept for later, per thread.
const KEPT: usize = 16;

thread_local! {
    static HEADS: RefCell<Vec<RequestHead>> = RefCell::default();
}

/// Puts a head with memory into `place`, when there is one.
pub(crate) fn take(place: &mut RequestHead) {
    if let Some(kept) = HEADS.with_borrow_mut(Vec::pop) {
        *place = kept;
    }
}

/// Keeps the memory of the head in `place`, and leaves one without.
pub(crate) fn give(place: &mut RequestHead) {
    let head = std::mem::take(place);
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < KEPT {
            heads.push(head);
        }
    });
}
