//! Bytes between a socket and their use.
//!
//! Storage comes from a pool of the thread and goes back when the bytes are gone, so that a
//! connection holds memory only while something is on its way.

use std::cell::RefCell;

/// Storage of a buffer, in bytes: a head with a small body fits.
const SMALL: usize = 16 << 10;

/// Storage of a buffer in which much flows, in bytes. Small reads cost more than they save: each
/// sends a window update.
const LARGE: usize = 64 << 10;

/// Storages of one size that are kept for later, per thread.
const KEPT: usize = 32;

#[derive(Default)]
struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

fn take(size: usize) -> Vec<u8> {
    let kept = POOL.with_borrow_mut(|pool| {
        if size == SMALL {
            pool.small.pop()
        } else {
            pool.large.pop()
        }
    });
    kept.unwrap_or_else(|| vec![0; size])
}

fn give(storage: Vec<u8>) {
    let size = storage.len();
    POOL.with_borrow_mut(|pool| {
        let kept = if size == SMALL {
            &mut pool.small
        } else {
            &mut pool.large
        };
        if (size == SMALL || size == LARGE) && kept.len() < KEPT {
            kept.push(storage);
        }
    });
}

/// A queue of bytes in one piece: written at its end, read from its start.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// All of it is initialised; empty while nothing is held.
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes held.
    pub(crate) fn data(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// How many bytes are held.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it has no storage.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.storage.is_empty()
    }

    /// Whether no more can be held.
    pub(crate) fn is_full(&self) -> bool {
        self.len() == LARGE
    }

    /// Takes `count` bytes away from the start.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "more was consumed than there was");
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room at the end: at least one byte, unless it holds 64 KiB already. `wide` for bytes that
    /// flow: with large storage from the start.
    pub(crate) fn room(&mut self, wide: bool) -> &mut [u8] {
        if wide && self.is_empty() && self.storage.len() != LARGE {
            self.release();
            self.storage = take(LARGE);
        } else if self.storage.is_empty() {
            self.storage = take(SMALL);
        } else if self.end == self.storage.len() {
            self.make_room();
        }
        &mut self.storage[self.end..]
    }

    fn make_room(&mut self) {
        let len = self.len();
        if self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
        } else if self.storage.len() < LARGE {
            let mut larger = take(LARGE);
            larger[..len].copy_from_slice(&self.storage[..len]);
            give(std::mem::replace(&mut self.storage, larger));
        }
        (self.start, self.end) = (0, len);
    }

    /// `count` bytes of [`Self::room`] were written.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.storage.len());
    }

    /// Gives the storage back when nothing is held.
    pub(crate) fn release(&mut self) {
        if self.is_empty() && !self.storage.is_empty() {
            (self.start, self.end) = (0, 0);
            give(std::mem::take(&mut self.storage));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.storage.is_empty() {
            give(std::mem::take(&mut self.storage));
        }
    }
}

/// Bytes on their way out: appended to freely, written from the front.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    written: usize,
}

thread_local! {
    static OUTPUTS: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

impl Output {
    /// Where to append.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0
            && let Some(kept) = OUTPUTS.with_borrow_mut(Vec::pop)
        {
            self.bytes = kept;
        }
        &mut self.bytes
    }

    /// What is to be written still.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// How much is to be written still, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether everything was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// `count` bytes of [`Self::rest`] were written; with the last one the storage goes back.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets what is to be written.
    pub(crate) fn clear(&mut self) {
        self.written = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if (1..=LARGE).contains(&bytes.capacity()) {
            OUTPUTS.with_borrow_mut(|kept| {
                if kept.len() < KEPT {
                    kept.push(bytes);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_to_its_limit_and_keeps_what_is_held() {
        let mut buffer = Buffer::default();
        let mut total = 0;
        loop {
            let room = buffer.room(false);
            if room.is_empty() {
                break;
            }
            room.fill(7);
            let count = room.len();
            buffer.filled(count);
            total += count;
        }
        assert_eq!((total, buffer.len()), (LARGE, LARGE));
        buffer.consume(10);
        assert_eq!(buffer.room(false).len(), 10);
        assert!(buffer.data().iter().all(|byte| *byte == 7));
    }

    #[test]
    fn output_written_in_parts_keeps_the_rest() {
        let mut output = Output::default();
        output.bytes().extend_from_slice(b"hello");
        output.wrote(2);
        assert_eq!(output.rest(), b"llo");
        output.bytes().extend_from_slice(b"!");
        output.wrote(4);
        assert!(output.is_empty());
        assert!(output.rest().is_empty());
    }
}
