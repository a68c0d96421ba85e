//! Where a request stands in its trace, read from and written into its headers.

use aviary_http::{Fields, Name, NameSet};

/// Trace and span of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace; not 0.
    pub trace_id: u128,
    /// The span that the next hop is told of: the caller's, or this proxy's when it makes one.
    pub span_id: u64,
    /// The caller's span, when this proxy makes one of its own; 0 when there is none.
    pub parent_id: u64,
    /// Whether spans of the trace are kept.
    pub sampled: bool,
}

/// In which headers a context goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Formats {
    /// `traceparent`.
    pub w3c: bool,
    /// `x-b3-traceid` and its companions.
    pub b3: bool,
    /// `b3`.
    pub b3_single: bool,
}

impl Formats {
    /// None of them.
    pub const NONE: Self = Self {
        w3c: false,
        b3: false,
        b3_single: false,
    };

    /// That of W3C, in which an OpenTelemetry proxy begins its traces.
    pub const W3C: Self = Self {
        w3c: true,
        b3: false,
        b3_single: false,
    };
}

/// What a caller said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The formats that were understood.
    pub(super) formats: Formats,
    /// 0 when none was given: B3 can carry a decision alone.
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    /// `None` leaves the decision to this hop.
    pub(super) sampled: Option<bool>,
}

/// The headers in which a caller says something.
const HEARD: NameSet = NameSet::new(&[
    Name::Traceparent,
    Name::B3,
    Name::XB3TraceId,
    Name::XB3SpanId,
    Name::XB3Sampled,
    Name::XB3Flags,
]);

/// The caller's context; W3C goes before B3, and B3's many headers before its single one.
///
/// Source: W3C Trace Context §3.2, B3 propagation.
pub(super) fn hear(fields: &Fields) -> Heard {
    if !fields.may_have_any(&HEARD) {
        return Heard::default();
    }
    let (mut parent, mut single, mut many) = (None, None, Many::default());
    for (name, _, value) in fields.named() {
        match name {
            Name::Traceparent => parent = parent.or(Some(value)),
            Name::B3 => single = single.or(Some(value)),
            Name::XB3TraceId => many.trace = Some(value),
            Name::XB3SpanId => many.span = Some(value),
            Name::XB3Sampled => many.sampled = Some(value),
            Name::XB3Flags => many.flags = Some(value),
            _ => {}
        }
    }
    let heard = [
        parent.and_then(traceparent),
        many.heard(),
        single.and_then(b3_single),
    ];
    let formats = heard.iter().flatten().fold(Formats::default(), |all, one| {
        let one = one.formats;
        Formats {
            w3c: all.w3c | one.w3c,
            b3: all.b3 | one.b3,
            b3_single: all.b3_single | one.b3_single,
        }
    });
    let first = heard.into_iter().flatten().next().unwrap_or_default();
    Heard { formats, ..first }
}

/// `00-<32 hex>-<16 hex>-<2 hex>` with ids that are not zero; later versions may be longer.
fn traceparent(value: &[u8]) -> Option<Heard> {
    let fixed: &[u8; 55] = value.first_chunk()?;
    let part = |from: usize, to: usize| fixed.get(from..to).unwrap_or_default();
    let version = hex(part(0, 2))?;
    let (trace_id, span_id) = (hex(part(3, 35))?, hex(part(36, 52))?);
    let flags = hex(part(53, 55))?;
    let dashes = [2, 35, 52].iter().all(|at| fixed.get(*at) == Some(&b'-'));
    let length = match version {
        0xff => false,
        0 => value.len() == fixed.len(),
        _ => value.get(fixed.len()).is_none_or(|next| *next == b'-'),
    };
    (dashes && length && trace_id != 0 && span_id != 0).then_some(Heard {
        trace_id,
        span_id: narrow(span_id),
        sampled: Some(flags & 1 == 1),
        formats: Formats {
            w3c: true,
            ..Formats::default()
        },
    })
}

/// The values of B3's many headers.
#[derive(Default)]
struct Many<'a> {
    trace: Option<&'a [u8]>,
    span: Option<&'a [u8]>,
    sampled: Option<&'a [u8]>,
    flags: Option<&'a [u8]>,
}

impl Many<'_> {
    fn heard(&self) -> Option<Heard> {
        let trace_id = self.trace.and_then(hex_id);
        let sampled = match (self.flags, self.sampled) {
            (Some(b"1"), _) => Some(true),
            (_, Some(value)) => decision(value),
            (_, None) => None,
        };
        (trace_id.is_some() || sampled.is_some()).then(|| Heard {
            formats: Formats {
                b3: true,
                ..Formats::default()
            },
            trace_id: trace_id.unwrap_or_default(),
            span_id: self.span.and_then(hex_id).map_or(0, narrow),
            sampled,
        })
    }
}

/// `{trace}-{span}`, then `-{decision}` and `-{parent}` if given; or the decision alone.
fn b3_single(value: &[u8]) -> Option<Heard> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next()?;
    let formats = Formats {
        b3_single: true,
        ..Formats::default()
    };
    let Some(span) = parts.next() else {
        return decision(first).map(|sampled| Heard {
            formats,
            sampled: Some(sampled),
            ..Heard::default()
        });
    };
    Some(Heard {
        formats,
        trace_id: hex_id(first)?,
        span_id: narrow(hex_id(span)?),
        sampled: parts.next().and_then(decision),
    })
}

fn decision(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

/// An id of up to 128 bits that is not zero.
fn hex_id(text: &[u8]) -> Option<u128> {
    hex(text).filter(|id| *id != 0)
}

/// Lower-case hexadecimal digits, 1 to 32.
fn hex(text: &[u8]) -> Option<u128> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    text.iter().try_fold(0, |number: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "span ids have 64 bits; what is longer is no id that others know either"
)]
fn narrow(id: u128) -> u64 {
    id as u64
}

impl Context {
    /// Writes the context in these formats. What a caller sent in others is left alone.
    pub(super) fn write(&self, formats: Formats, fields: &mut Fields) {
        let trace: [u8; 32] = digits(self.trace_id);
        let span: [u8; 16] = digits(u128::from(self.span_id));
        let flag = if self.sampled { b"1" } else { b"0" };
        if formats.w3c {
            let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
            put(&mut value, 3, &trace);
            put(&mut value, 36, &span);
            put(&mut value, 54, flag);
            fields.set(Name::Traceparent, &value);
        }
        if formats.b3 {
            fields.set(Name::XB3TraceId, &trace);
            fields.set(Name::XB3SpanId, &span);
            if self.parent_id != 0 {
                let parent: [u8; 16] = digits(u128::from(self.parent_id));
                fields.set(Name::XB3ParentSpanId, &parent);
            }
            fields.set(Name::XB3Sampled, flag);
        }
        if formats.b3_single {
            let mut value = *b"00000000000000000000000000000000-0000000000000000-0";
            put(&mut value, 0, &trace);
            put(&mut value, 33, &span);
            put(&mut value, 50, flag);
            fields.set(Name::B3, &value);
        }
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_digits(&self) -> [u8; 32] {
        digits(self.trace_id)
    }

    /// The span id as 16 hexadecimal digits.
    pub fn span_digits(&self) -> [u8; 16] {
        digits(u128::from(self.span_id))
    }

    /// [`Self::trace_digits`] as text.
    pub fn trace_text(&self) -> String {
        String::from_utf8_lossy(&self.trace_digits()).into_owned()
    }

    /// [`Self::span_digits`] as text.
    pub fn span_text(&self) -> String {
        String::from_utf8_lossy(&self.span_digits()).into_owned()
    }
}

/// The last hexadecimal digits of a number, lower case.
pub(super) fn digits<const N: usize>(mut number: u128) -> [u8; N] {
    let mut text = [b'0'; N];
    for places in text.rchunks_mut(8) {
        let eight = eight_digits(number);
        let wanted = eight.get(eight.len() - places.len()..);
        places.copy_from_slice(wanted.unwrap_or_default());
        number >>= 32;
    }
    text
}

/// The last eight digits, all at once: each byte of a word becomes a digit.
fn eight_digits(number: u128) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut word = narrow(number) & 0xffff_ffff;
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    word = (word | word << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (word + 6 * EACH) >> 4 & EACH;
    let (zero, to_letters) = (u64::from(b'0') * EACH, u64::from(b'a' - b'9' - 1));
    (word + zero + letters * to_letters).to_be_bytes()
}

/// Overwrites bytes of `text` from `at` on.
pub(super) fn put(text: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = text.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}
