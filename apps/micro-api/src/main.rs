//! The micro-api sample application of the rolling-update tutorial.

fn main() {}
