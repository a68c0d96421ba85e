//! Tutorial 003, part A, and kubectl's recorded output.
