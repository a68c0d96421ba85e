//! Field trees of the built-in kinds, from the typed API crate.
