//! Canary releases on a service mesh: one binary.

fn main() {}
