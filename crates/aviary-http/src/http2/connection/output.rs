//! What is to be written.

/// Bytes of bodies that wait to be written, of all streams together.
const LIMIT: usize = 64 << 10;

/// With this much to be written nothing is read: it is answers, and the peer does not take them.
const FULL: usize = 512 << 10;

/// Bytes on their way out: appended to freely, written from the front.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Where to append.
    pub(super) bytes: Vec<u8>,
    written: usize,
}

impl Output {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= FULL
    }

    /// Bytes of a body that may be appended.
    pub(super) fn room(&self) -> usize {
        LIMIT.saturating_sub(self.len())
    }

    pub(super) fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= self.len() {
            // Fewer bytes are moved than were written, and never more is held than twice the rest.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_hold_no_more_than_twice_their_limit() {
        for took in [1, 100, 4 << 10, LIMIT / 2 + 1, LIMIT] {
            let mut output = Output::default();
            let mut sent = 0;
            for _ in 0..1000 {
                let room = output.room();
                output.bytes.resize(output.bytes.len() + room, b'x');
                sent += room;
                assert_eq!((output.len(), output.room()), (LIMIT, 0));
                output.wrote(took);
                assert!(output.bytes.capacity() <= 2 * LIMIT, "{took}");
            }
            assert_eq!(sent, LIMIT + 999 * took);
        }
    }
}
