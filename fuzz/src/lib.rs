//! What must hold for any bytes from the network, as plain functions over bytes.
//!
//! A target panics when an invariant breaks. `tests/short.rs` runs all of them on mutations of the
//! corpus with a fixed seed, as part of `cargo test`; `libfuzzer/` runs them under cargo-fuzz.
//!
//! Read first: [`TARGETS`].

pub mod request;
pub mod response;
pub mod chunked;
pub mod http2_frames;
pub mod http2_heads;
pub mod path;
pub mod xds;
pub mod bootstrap;
pub mod routes;

/// A target: its name, which is its folder in the corpus, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("request", request::run),
    ("response", response::run),
    ("chunked", chunked::run),
    ("http2_frames", http2_frames::run),
    ("http2_heads", http2_heads::run),
    ("path", path::run),
    ("xds", xds::run),
    ("bootstrap", bootstrap::run),
    ("routes", routes::run),
];

/// Splits off the first byte, a number that the target takes from its input.
fn number(data: &[u8]) -> (usize, &[u8]) {
    match data {
        [first, rest @ ..] => (usize::from(*first), rest),
        [] => (0, data),
    }
}
