//! Maps from names and addresses that a configuration has.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;

use crate::xxhash::xxhash64;

/// A map from names whose keys come from a configuration and not from the network: its hash is
/// quick and does not resist whoever may choose keys.
pub type NameMap<V> = HashMap<String, V, NameHash>;

/// The same for addresses of endpoints.
pub type AddressMap<V> = HashMap<SocketAddr, V, NameHash>;

/// The hash of a [`NameMap`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NameHash;

impl BuildHasher for NameHash {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher(0)
    }
}

/// A name being hashed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash64(bytes, self.0);
    }

    /// A port.
    fn write_u16(&mut self, number: u16) {
        self.mix(u64::from(number));
    }

    /// The length of an address.
    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    /// The kind of an address.
    fn write_isize(&mut self, number: isize) {
        self.mix(number.unsigned_abs() as u64);
    }

    /// The end of a text.
    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl NameHasher {
    fn mix(&mut self, number: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(ODD);
        // The map looks at the lowest bits and the highest ones.
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{AddressMap, NameMap};

    #[test]
    fn map_of_addresses_gives_back_what_was_put_in() {
        let mut map = AddressMap::default();
        let address = |host: u8, port: u16| SocketAddr::from(([10, 0, 0, host], port));
        for host in 0..=u8::MAX {
            for port in 9080..9084 {
                map.insert(address(host, port), (host, port));
            }
        }
        assert_eq!(map.len(), 1024);
        assert_eq!(map.get(&address(7, 9081)), Some(&(7, 9081)));
        assert_eq!(map.get(&address(7, 80)), None);
    }

    #[test]
    fn map_gives_back_what_was_put_in() {
        let mut map = NameMap::default();
        for number in 0..1_000 {
            map.insert(format!("outbound|{number}||reviews"), number);
        }
        assert_eq!(map.get("outbound|7||reviews"), Some(&7));
        assert_eq!(map.get("outbound|1000||reviews"), None);
    }
}
