//! Maps from names that a configuration has.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use crate::xxhash::xxhash64;

/// A map from names whose keys come from a configuration and not from the network: its hash is
/// quick and does not resist whoever may choose keys.
pub type NameMap<V> = HashMap<String, V, NameHash>;

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

    /// The end of a text.
    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::NameMap;

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
