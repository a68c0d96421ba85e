//! Which routes of a virtual host a path may match.

use crate::route::{PathMatch, Route};
use crate::xxhash::xxhash64;

/// So many routes are looked at one by one faster than by an index.
const FEW: usize = 8;
/// Lengths of prefixes that are looked up; routes with others are always looked at.
const LENGTHS: usize = 14;

/// Routes by their paths.
///
/// It leaves out only what cannot match; whether a route matches is decided by its conditions, so that
/// a hash that two paths share does no harm.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Routes that any path may match.
    always: Box<[u32]>,
    exact: Box<[Entry]>,
    /// By length.
    prefixes: Box<[(usize, Box<[Entry]>)]>,
}

/// A path, and a route that wants it. In order of both.
type Entry = (u64, u32);

impl Routes {
    /// An index, when there are enough routes for one.
    pub(super) fn new(routes: &[Route]) -> Option<Box<Self>> {
        if routes.len() <= FEW {
            return None;
        }
        let mut always = Vec::new();
        let mut exact = Vec::new();
        let mut by_length: std::collections::BTreeMap<usize, Vec<Entry>> =
            std::collections::BTreeMap::new();
        for (number, route) in (0..).zip(routes) {
            let hash = |path: &str| xxhash64(path.as_bytes(), 0);
            match &route.matches.path {
                _ if route.matches.ignore_case => always.push(number),
                PathMatch::Regex(_) => always.push(number),
                PathMatch::Exact(path) => exact.push((hash(path), number)),
                PathMatch::Prefix(path) | PathMatch::SegmentPrefix(path) if path.len() < 2 => {
                    always.push(number);
                }
                PathMatch::Prefix(path) | PathMatch::SegmentPrefix(path) => {
                    let entries = by_length.entry(path.len()).or_default();
                    entries.push((hash(path), number));
                }
            }
        }
        let mut prefixes: Vec<_> = by_length.into_iter().collect();
        prefixes.sort_by_key(|(_, entries)| usize::MAX - entries.len());
        for (_, entries) in prefixes.drain(LENGTHS.min(prefixes.len())..) {
            always.extend(entries.iter().map(|(_, number)| *number));
        }
        always.sort_unstable();
        exact.sort_unstable();
        let sorted = |(length, mut entries): (usize, Vec<Entry>)| {
            entries.sort_unstable();
            (length, entries.into_boxed_slice())
        };
        Some(Box::new(Self {
            always: always.into(),
            exact: exact.into(),
            prefixes: prefixes.into_iter().map(sorted).collect(),
        }))
    }

    /// The routes that a path may match, in order.
    pub(super) fn candidates<'r>(&'r self, path: &str) -> Candidates<'r> {
        let mut candidates = Candidates {
            always: &self.always,
            lists: [&[]; LENGTHS + 1],
            count: 0,
        };
        candidates.add(&self.exact, path);
        for (length, entries) in &self.prefixes {
            if let Some(head) = path.get(..*length) {
                candidates.add(entries, head);
            }
        }
        candidates
    }
}

/// Numbers of routes in order.
#[derive(Debug)]
pub(crate) struct Candidates<'r> {
    always: &'r [u32],
    lists: [&'r [Entry]; LENGTHS + 1],
    count: usize,
}

impl<'r> Candidates<'r> {
    fn add(&mut self, entries: &'r [Entry], path: &str) {
        if entries.is_empty() {
            return;
        }
        let hash = xxhash64(path.as_bytes(), 0);
        let start = entries.partition_point(|(it, _)| *it < hash);
        let rest = &entries[start..];
        let end = rest.partition_point(|(it, _)| *it == hash);
        if end > 0 {
            self.lists[self.count] = &rest[..end];
            self.count += 1;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut least = self.always.first().copied();
        let mut from = None;
        for (place, list) in self.lists[..self.count].iter().enumerate() {
            if let Some((_, number)) = list.first()
                && least.is_none_or(|least| *number < least)
            {
                least = Some(*number);
                from = Some(place);
            }
        }
        match from {
            Some(place) => self.lists[place] = &self.lists[place][1..],
            None => self.always = self.always.get(1..).unwrap_or_default(),
        }
        Some(least? as usize)
    }
}
