//! Series by the addresses of their labels, and by what the labels say.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::{IDLE, LabelSet, Labels, SERIES_LIMIT};

/// Rows with two indexes over them. An index is a power of two of slots, at most half of them
/// used, each the number of a row plus one, found by linear probing.
#[derive(Debug)]
pub(super) struct Table<C> {
    rows: Vec<Row<C>>,
    by_address: Vec<u32>,
    by_content: Vec<u32>,
    /// Slots of `by_address` in use. A row whose addresses changed leaves its old slot behind,
    /// which matches nothing any more.
    used: usize,
    /// Seeded, so that nobody outside can choose labels that meet in one slot.
    hasher: RandomState,
    dropped: u64,
}

#[derive(Debug)]
struct Row<C> {
    key: Key,
    content: u64,
    /// Holds what `key` points to, so that no address is used twice.
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
            by_address: Vec::new(),
            by_content: Vec::new(),
            used: 0,
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
        let found = probe(&self.by_address, key.hash(), |row| {
            self.rows.get(row).is_some_and(|row| row.key == key)
        });
        let row = match found {
            Some(row) => row,
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
        let same = probe(&self.by_content, content, |row| {
            self.rows
                .get(row)
                .is_some_and(|row| row.content == content && *row.labels == kept)
        });
        if let Some(number) = same {
            // The newest addresses are the ones that will come again.
            if let Some(row) = self.rows.get_mut(number) {
                row.key = key;
                row.labels = Arc::new(kept);
            }
            self.place(key, number);
            return Some(number);
        }
        if self.rows.len() >= SERIES_LIMIT {
            self.dropped += 1;
            return None;
        }
        let number = self.rows.len();
        self.rows.push(Row {
            key,
            content,
            labels: Arc::new(kept),
            counted: C::default(),
            changed: false,
            taken: Duration::ZERO,
        });
        put(&mut self.by_content, content, number);
        self.place(key, number);
        Some(number)
    }

    fn place(&mut self, key: Key, number: usize) {
        if (self.used + 1) * 2 > self.by_address.len() {
            self.index();
        } else {
            put(&mut self.by_address, key.hash(), number);
            self.used += 1;
        }
    }

    /// Makes both indexes again from the rows.
    fn index(&mut self) {
        let slots = (self.rows.len() * 4).next_power_of_two().max(16);
        for index in [&mut self.by_address, &mut self.by_content] {
            index.clear();
            index.resize(slots, 0);
        }
        self.used = self.rows.len();
        for (number, row) in self.rows.iter().enumerate() {
            put(&mut self.by_address, row.key.hash(), number);
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
            self.index();
        }
        std::mem::take(&mut self.dropped)
    }
}

#[inline]
fn probe(index: &[u32], hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let mask = index.len().checked_sub(1)?;
    let mut slot = slot(hash, mask);
    loop {
        let number = *index.get(slot)?;
        let row = number.checked_sub(1)? as usize;
        if is_it(row) {
            return Some(row);
        }
        slot = (slot + 1) & mask;
    }
}

fn put(index: &mut [u32], hash: u64, row: usize) {
    let Some(mask) = index.len().checked_sub(1) else {
        return;
    };
    let mut slot = slot(hash, mask);
    while index.get(slot).is_some_and(|number| *number != 0) {
        slot = (slot + 1) & mask;
    }
    if let Some(place) = index.get_mut(slot) {
        *place = u32::try_from(row + 1).unwrap_or(u32::MAX);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask keeps less than what is cut off"
)]
fn slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}
