//! Streams, and where they are found.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Failure;
use crate::fields::Fields;
use crate::response::ResponseHead;

/// One request with its reply, as the wire has it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that happened, and any of them can have happened together"
)]
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// It counts among the open ones, and frames for it are looked at.
    pub(super) is_open: bool,
    /// The peer's message is over.
    pub(super) recv_ended: bool,
    /// Our message is over.
    pub(super) send_ended: bool,
    /// Why it ended before its time.
    pub(super) failure: Option<Failure>,
    /// The head of the peer's reply came.
    pub(super) is_answered: bool,
    /// Our request was a HEAD.
    pub(super) is_head: bool,
    /// Interim replies that came.
    pub(super) interim: u8,
    /// The reply's head, until somebody takes it.
    pub(super) reply: Option<Box<ResponseHead>>,
    /// Bytes of the peer's body that nobody took yet.
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<Fields>,
    /// Bytes that the body must have still, when its length was told.
    pub(super) remaining: Option<u64>,
    /// Bytes that the peer may send. It is below zero only while it does not know our window.
    pub(super) recv_window: i64,
    /// Bytes that were used, and that the peer was not told of.
    pub(super) unannounced: u32,
    /// Bytes that came and were not used.
    pub(super) held: u32,
    /// Bytes that we may send. It is below zero when the peer made its window smaller.
    pub(super) send_window: i64,
    /// It is among those to be woken.
    pub(super) is_woken: bool,
    /// It waits for its turn to send.
    pub(super) is_waiting: bool,
    /// It is its turn to send.
    pub(super) is_granted: bool,
}

impl Stream {
    /// Bytes came; false when they are more than the peer announced.
    pub(super) fn count(&mut self, bytes: usize) -> bool {
        let Some(remaining) = &mut self.remaining else {
            return true;
        };
        match remaining.checked_sub(bytes as u64) {
            Some(left) => *remaining = left,
            None => return false,
        }
        true
    }

    /// Whether the body has the length that was told.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.remaining, None | Some(0))
    }
}

/// Numbers of streams are no secret, and a peer has few of them: the cheapest hash will do.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// All streams of a connection: a stream has a place until whoever serves it is done.
#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Vec<Option<Stream>>,
    free: Vec<usize>,
    by_id: HashMap<u32, usize, BuildHasherDefault<IdHasher>>,
}

/// Places that are kept when no stream is there.
const KEPT: usize = 4;

impl Streams {
    /// Streams that are open on the wire.
    pub(super) fn open(&self) -> usize {
        self.by_id.len()
    }

    /// Streams that have a place.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The place of an open stream.
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, key: usize) -> Option<&Stream> {
        self.places.get(key)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Stream> {
        self.places.get_mut(key)?.as_mut()
    }

    /// Adds an open stream, and gives its place.
    pub(super) fn insert(&mut self, mut stream: Stream) -> usize {
        stream.is_open = true;
        let id = stream.id;
        let key = if let Some(key) = self.free.pop() {
            self.places[key] = Some(stream);
            key
        } else {
            self.places.push(Some(stream));
            self.places.len() - 1
        };
        self.by_id.insert(id, key);
        key
    }

    /// Frames for it are not looked at any more.
    pub(super) fn close(&mut self, key: usize) {
        if let Some(stream) = self.places.get_mut(key).and_then(Option::as_mut)
            && std::mem::take(&mut stream.is_open)
        {
            self.by_id.remove(&stream.id);
        }
    }

    /// Frees its place.
    pub(super) fn remove(&mut self, key: usize) -> Option<Stream> {
        self.close(key);
        let stream = self.places.get_mut(key)?.take()?;
        self.free.push(key);
        if self.free.len() == self.places.len() && self.places.len() > KEPT {
            *self = Self::default();
        }
        Some(stream)
    }

    /// Gives the memory of the places back when none is taken.
    pub(super) fn rest(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// All that have a place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(key, place)| Some((key, place.as_mut()?)))
    }
}
