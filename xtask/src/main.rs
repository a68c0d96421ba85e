//! The project's own tasks: demo, test, tidy.

fn main() {}
