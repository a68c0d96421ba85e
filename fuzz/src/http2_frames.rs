//! The guard against floods of HTTP/2 frames.

use std::time::Duration;

use aviary_http::frames::{FloodLimits, Guard};

/// Shows `data` to a guard: a first byte that says into what pieces it is cut, and frames.
pub fn run(data: &[u8]) {
    let (size, data) = crate::number(data);
    for limits in [FloodLimits::of_client(), FloodLimits::of_endpoint()] {
        let mut whole = Guard::new(&limits);
        let mut pieces = Guard::new(&limits);
        let first = whole.see(data, Duration::ZERO);
        let second = data
            .chunks(size % 17 + 1)
            .try_for_each(|piece| pieces.see(piece, Duration::ZERO));
        assert_eq!(first, second);
        let first = whole.see_sent(data, Duration::from_secs(1));
        let second = data
            .chunks(size % 17 + 1)
            .try_for_each(|piece| pieces.see_sent(piece, Duration::from_secs(1)));
        assert_eq!(first, second);
    }
}
