//! Annotations of built-in fields that the typed API crate does not publish.
