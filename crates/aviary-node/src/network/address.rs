//! Which pod gets which address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Error;

/// First and last address that a pod may get; 10.244.0.1 is the node's.
const FIRST: u32 = u32::from_be_bytes([10, 244, 0, 2]);
const LAST: u32 = u32::from_be_bytes([10, 244, 255, 254]);

/// Addresses in use. An address comes back into use as late as possible, so that a stale connection meets nobody new.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    used: BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
}

impl Pool {
    /// Notes that a pod found at the start has `address`.
    pub(crate) fn reserve(&mut self, address: Ipv4Addr) {
        self.used.insert(address);
        self.last = self.last.max(Some(address));
    }

    /// Takes the next free address after the one given out last, from the first again after the end.
    pub(crate) fn take(&mut self) -> Result<Ipv4Addr, Error> {
        let start = self.last.map_or(FIRST, |last| u32::from(last) + 1);
        let address = (start..=LAST)
            .chain(FIRST..start.min(LAST))
            .map(Ipv4Addr::from)
            .find(|address| !self.used.contains(address))
            .ok_or(Error::Exhausted)?;
        self.used.insert(address);
        self.last = Some(address);
        Ok(address)
    }

    /// Gives `address` back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_after_release_prefers_a_fresh_address() {
        let mut pool = Pool::default();
        let first = pool.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 244, 0, 2));
        pool.release(first);
        assert_eq!(pool.take().unwrap(), Ipv4Addr::new(10, 244, 0, 3));
    }

    #[test]
    fn take_at_the_end_starts_again_with_free_ones() {
        let mut pool = Pool::default();
        pool.reserve(Ipv4Addr::new(10, 244, 0, 2));
        pool.reserve(Ipv4Addr::from(LAST));
        assert_eq!(pool.take().unwrap(), Ipv4Addr::new(10, 244, 0, 3));
    }
}
