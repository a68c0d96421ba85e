//! `x-request-id`: a UUID whose 15th digit says whether and why the request is traced.
//!
//! Source: Envoy `UUIDRequestIDExtension`.

use rand::Rng;

use super::context::{digits, put};

/// Longest request id that is taken over from a caller, in bytes.
const LIMIT: usize = 128;

/// Where the digit stands.
const REASON_AT: usize = 14;

/// Why a request is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The sampling rate chose it.
    Sampled = b'9',
    /// A trusted caller asked for it by `x-envoy-force-trace`.
    ServiceForced = b'a',
    /// A client asked for it by `x-client-trace-id`.
    ClientForced = b'b',
}

/// A request id.
pub(super) type Id = [u8; 36];

/// A random UUID (RFC 9562 version 4).
pub(super) fn generate(rng: &mut impl Rng) -> Id {
    let bits: u128 = rng.random();
    let bits =
        (bits & !(0xf000_u128 << 64) | 0x4000_u128 << 64) & !(0b11_u128 << 62) | 0b10_u128 << 62;
    let hex: [u8; 32] = digits(bits);
    let mut id = [b'-'; 36];
    for (at, from, to) in [
        (0, 0, 8),
        (9, 8, 12),
        (14, 12, 16),
        (19, 16, 20),
        (24, 20, 32),
    ] {
        put(&mut id, at, hex.get(from..to).unwrap_or_default());
    }
    id
}

/// Whether an id of a caller can go on.
pub(super) fn is_sane(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= LIMIT && id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The UUID in a value; `None` for ids of another form, which carry no decision.
pub(super) fn uuid(value: &[u8]) -> Option<Id> {
    let id: Id = value.try_into().ok()?;
    let is_right = id.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    is_right.then_some(id)
}

/// Why the request with this id is traced; `None` when it is not.
pub(super) fn reason(id: &Id) -> Option<Reason> {
    match id.get(REASON_AT)? {
        b'9' => Some(Reason::Sampled),
        b'a' => Some(Reason::ServiceForced),
        b'b' => Some(Reason::ClientForced),
        _ => None,
    }
}

/// Notes the reason in the id.
pub(super) fn mark(id: &mut Id, reason: Option<Reason>) {
    if let Some(digit) = id.get_mut(REASON_AT) {
        *digit = reason.map_or(b'4', |reason| reason as u8);
    }
}

/// A number from 0 to 9999 that every hop finds in the same id.
pub(super) fn share(id: &Id) -> u16 {
    let number = id.iter().take(8).fold(0_u32, |number, byte| {
        let digit = char::from(*byte).to_digit(16).unwrap_or_default();
        number << 4 | digit
    });
    u16::try_from(number % 10_000).unwrap_or_default()
}
