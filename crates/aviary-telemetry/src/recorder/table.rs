//! Series by the addresses of labels, and by what the labels say.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::{IDLE, LabelSet, Labels, SERIES_LIMIT};

/// Addresses that are known at most, beside eight per row: the pods of one workload have labels
/// that say the same, each in a place of its own. Over it all are forgotten, and learned again.
const ADDRESSES: usize = 512;

/// Rows with an index over what their labels say, and one over the addresses of labels. An index
/// is a power of two of slots, at most half of them used, each a number plus one, found by linear
/// probing.
#[derive(Debug)]
pub(super) struct Table<C> {
    rows: Vec<Row<C>>,
    addresses: Vec<Address>,
    by_address: Vec<u32>,
    by_content: Vec<u32>,
    /// Seeded, so that nobody outside can choose labels that meet in one slot.
    hasher: RandomState,
    dropped: u64,
}

/// Labels that were seen, and the row of what they say.
#[derive(Debug)]
struct Address {
    key: Key,
    row: usize,
    /// Holds what `key` points to, so that no address is used twice.
    _labels: Arc<LabelSet>,
}

#[derive(Debug)]
struct Row<C> {
    content: u64,
    labels: Arc<LabelSet>,
    counted: C,
    changed: bool,
    /// When it was last taken with something counted.
    taken: Duration,
}

/// Addresses and small numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key([u64; 6]);

impl Key {
    #[inline]
    fn new(labels: &Labels<'_>) -> Self {
        let principal =
            |principal: Option<&Arc<str>>| principal.map_or(0, |it| Arc::as_ptr(it).addr() as u64);
        let small = u64::from(labels.flags.bits())
            | u64::from(labels.code) << 32
            | u64::from(labels.grpc_status.0) << 48
            | (labels.protocol as u64) << 56
            | (labels.reporter as u64) << 58
            | (labels.security as u64) << 60;
        Self([
            small,
            Arc::as_ptr(labels.source).addr() as u64,
            Arc::as_ptr(labels.destination).addr() as u64,
            Arc::as_ptr(labels.service).addr() as u64,
            principal(labels.source_principal),
            principal(labels.destination_principal),
        ])
    }

    /// Multiplication carries upwards, so the upper bits are the mixed ones.
    #[inline]
    fn hash(&self) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0.iter().fold(0, |hash: u64, word| {
            (hash.rotate_left(23) ^ word).wrapping_mul(ODD)
        }) >> 20
    }
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            addresses: Vec::new(),
            by_address: Vec::new(),
            by_content: Vec::new(),
            hasher: RandomState::new(),
            dropped: 0,
        }
    }
}

impl<C: Default> Table<C> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The counters of a series, opened when it is new; `None` over the limit.
    #[inline]
    pub(super) fn find(&mut self, labels: &Labels<'_>) -> Option<&mut C> {
        let key = Key::new(labels);
        let addresses = &self.addresses;
        let found = probe(&self.by_address, key.hash(), |number| {
            addresses.get(number).is_some_and(|it| it.key == key)
        });
        let row = match found.and_then(|number| self.addresses.get(number)) {
            Some(address) => address.row,
            None => self.open(key, labels)?,
        };
        let row = self.rows.get_mut(row)?;
        row.changed = true;
        Some(&mut row.counted)
    }

    /// The row of labels whose addresses are not known: one that says the same, or a new one.
    #[cold]
    fn open(&mut self, key: Key, labels: &Labels<'_>) -> Option<usize> {
        let kept = labels.kept();
        let content = self.hasher.hash_one(&kept);
        let kept = Arc::new(kept);
        let same = probe(&self.by_content, content, |row| {
            self.rows
                .get(row)
                .is_some_and(|row| row.content == content && *row.labels == *kept)
        });
        let row = match same {
            Some(row) => row,
            None if self.rows.len() >= SERIES_LIMIT => {
                self.dropped += 1;
                return None;
            }
            None => self.add(content, &kept),
        };
        self.learn(Address {
            key,
            row,
            _labels: kept,
        });
        Some(row)
    }

    fn add(&mut self, content: u64, labels: &Arc<LabelSet>) -> usize {
        let number = self.rows.len();
        self.rows.push(Row {
            content,
            labels: Arc::clone(labels),
            counted: C::default(),
            changed: false,
            taken: Duration::ZERO,
        });
        if self.rows.len() * 2 > self.by_content.len() {
            self.index_rows();
        } else {
            put(&mut self.by_content, content, number);
        }
        number
    }

    fn learn(&mut self, address: Address) {
        if self.addresses.len() >= self.rows.len() * 8 + ADDRESSES {
            self.forget();
        }
        let (key, number) = (address.key, self.addresses.len());
        self.addresses.push(address);
        if self.addresses.len() * 2 > self.by_address.len() {
            renew(&mut self.by_address, self.addresses.len());
            for (number, known) in self.addresses.iter().enumerate() {
                put(&mut self.by_address, known.key.hash(), number);
            }
        } else {
            put(&mut self.by_address, key.hash(), number);
        }
    }

    fn forget(&mut self) {
        self.addresses.clear();
        self.by_address.fill(0);
    }

    fn index_rows(&mut self) {
        renew(&mut self.by_content, self.rows.len());
        for (number, row) in self.rows.iter().enumerate() {
            put(&mut self.by_content, row.content, number);
        }
    }

    /// Moves what was counted to `into`, lets idle rows go, and gives the number of what was
    /// dropped since the last time.
    pub(super) fn take(&mut self, now: Duration, into: &mut Vec<(Arc<LabelSet>, C)>) -> u64 {
        for row in &mut self.rows {
            if std::mem::take(&mut row.changed) {
                row.taken = now;
                into.push((Arc::clone(&row.labels), std::mem::take(&mut row.counted)));
            }
        }
        let before = self.rows.len();
        self.rows.retain(|row| now.saturating_sub(row.taken) < IDLE);
        if self.rows.len() < before {
            self.rows.shrink_to(self.rows.len() * 2);
            self.index_rows();
            // Rows have other numbers now.
            self.forget();
        }
        std::mem::take(&mut self.dropped)
    }
}

/// An empty index for `used` numbers.
fn renew(index: &mut Vec<u32>, used: usize) {
    index.clear();
    index.resize((used * 4).next_power_of_two().max(16), 0);
}

#[inline]
fn probe(index: &[u32], hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let mask = index.len().checked_sub(1)?;
    let mut slot = slot(hash, mask);
    loop {
        let number = (*index.get(slot)?).checked_sub(1)? as usize;
        if is_it(number) {
            return Some(number);
        }
        slot = (slot + 1) & mask;
    }
}

fn put(index: &mut [u32], hash: u64, number: usize) {
    let Some(mask) = index.len().checked_sub(1) else {
        return;
    };
    let mut slot = slot(hash, mask);
    while index.get(slot).is_some_and(|taken| *taken != 0) {
        slot = (slot + 1) & mask;
    }
    if let Some(place) = index.get_mut(slot) {
        *place = u32::try_from(number + 1).unwrap_or(u32::MAX);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask keeps less than what is cut off"
)]
fn slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}
