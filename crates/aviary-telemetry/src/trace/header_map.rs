//! The same for heads as header maps.

use http::{HeaderMap, HeaderValue};
use rand::Rng;

use super::Trust;

/// The header that joins log lines of one request.
pub const REQUEST_ID: &str = "x-request-id";
/// The header of W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";

/// Longest request id that is taken over from a caller, in bytes.
const REQUEST_ID_LIMIT: usize = 128;

/// Makes sure that a request carries a request id and a trace context, and gives the id.
///
/// A context in W3C form (`traceparent`) or B3 form (`x-b3-traceid`, `b3`) goes on unchanged.
/// Without one a trace is begun in both forms, sampled with `sampling_percent` (0 to 100).
///
/// Source: Envoy's request id and tracing headers, W3C Trace Context §3.2, B3 propagation.
pub fn prepare(
    headers: &mut HeaderMap,
    trust: Trust,
    sampling_percent: f64,
    rng: &mut impl Rng,
) -> HeaderValue {
    if !has_context(headers) {
        begin(headers, rng.random::<f64>() * 100.0 < sampling_percent, rng);
    }
    let kept = match trust {
        Trust::Caller => headers.get(REQUEST_ID).filter(|id| is_sane(id)).cloned(),
        Trust::Nobody => None,
    };
    kept.unwrap_or_else(|| {
        let id = request_id(rng);
        headers.insert(REQUEST_ID, id.clone());
        id
    })
}

fn is_sane(id: &HeaderValue) -> bool {
    !id.is_empty() && id.len() <= REQUEST_ID_LIMIT && id.to_str().is_ok()
}

fn has_context(headers: &HeaderMap) -> bool {
    let w3c = headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok());
    w3c.is_some_and(is_traceparent)
        || headers.contains_key("x-b3-traceid")
        || headers.contains_key("b3")
}

/// `00-<32 hex>-<16 hex>-<2 hex>` with ids that are not zero; later versions may be longer.
fn is_traceparent(value: &str) -> bool {
    let lower_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = value.split('-');
    let mut next = || parts.next().unwrap_or("");
    let (version, trace, span, flags) = (next(), next(), next(), next());
    lower_hex(version, 2)
        && version != "ff"
        && lower_hex(trace, 32)
        && nonzero(trace)
        && lower_hex(span, 16)
        && nonzero(span)
        && lower_hex(flags, 2)
}

fn begin(headers: &mut HeaderMap, sampled: bool, rng: &mut impl Rng) {
    // Zero means "no id" in both formats.
    let trace = format!("{:032x}", rng.random::<u128>().max(1));
    let span = format!("{:016x}", rng.random::<u64>().max(1));
    let flag = u8::from(sampled);
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(TRACEPARENT, &format!("00-{trace}-{span}-{flag:02x}"));
    put("x-b3-traceid", &trace);
    put("x-b3-spanid", &span);
    put("x-b3-sampled", if sampled { "1" } else { "0" });
}

/// A random UUID (RFC 9562 version 4).
fn request_id(rng: &mut impl Rng) -> HeaderValue {
    let bits: u128 = rng.random();
    let bits =
        (bits & !(0xf000_u128 << 64) | 0x4000_u128 << 64) & !(0b11_u128 << 62) | 0b10_u128 << 62;
    let hex = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
