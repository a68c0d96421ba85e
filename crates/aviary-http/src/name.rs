//! Names of fields, and the ones that are known by number.

#[cfg(test)]
mod tests;

/// Makes [`Name`], its texts and the table that finds a name by its text.
macro_rules! names {
    ($($variant:ident $text:literal)*) => {
        /// A field name; those that the proxy asks for have a number, so that asking compares a byte.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(
                #[doc = concat!("`", $text, "`")]
                $variant,
            )*
            /// Any name without a number.
            Other,
        }

        /// Texts of the numbered names, by number.
        const TEXTS: &[&str] = &[$($text),*];
        /// The numbered names, by number.
        const NAMES: &[Name] = &[$(Name::$variant),*];
    };
}

names! {
    Host "host"
    Connection "connection"
    ContentLength "content-length"
    TransferEncoding "transfer-encoding"
    KeepAlive "keep-alive"
    ProxyConnection "proxy-connection"
    Upgrade "upgrade"
    Http2Settings "http2-settings"
    Te "te"
    Trailer "trailer"
    Expect "expect"
    Accept "accept"
    AcceptEncoding "accept-encoding"
    AcceptLanguage "accept-language"
    AccessControlAllowCredentials "access-control-allow-credentials"
    AccessControlAllowHeaders "access-control-allow-headers"
    AccessControlAllowMethods "access-control-allow-methods"
    AccessControlAllowOrigin "access-control-allow-origin"
    AccessControlAllowPrivateNetwork "access-control-allow-private-network"
    AccessControlExposeHeaders "access-control-expose-headers"
    AccessControlMaxAge "access-control-max-age"
    AccessControlRequestHeaders "access-control-request-headers"
    AccessControlRequestMethod "access-control-request-method"
    AccessControlRequestPrivateNetwork "access-control-request-private-network"
    Authorization "authorization"
    B3 "b3"
    Baggage "baggage"
    CacheControl "cache-control"
    ContentEncoding "content-encoding"
    ContentRange "content-range"
    ContentType "content-type"
    Cookie "cookie"
    Date "date"
    EndUser "end-user"
    Etag "etag"
    Forwarded "forwarded"
    GrpcAcceptEncoding "grpc-accept-encoding"
    GrpcEncoding "grpc-encoding"
    GrpcMessage "grpc-message"
    GrpcStatus "grpc-status"
    GrpcTimeout "grpc-timeout"
    LastModified "last-modified"
    Location "location"
    Origin "origin"
    ProxyAuthenticate "proxy-authenticate"
    ProxyAuthorization "proxy-authorization"
    Range "range"
    Referer "referer"
    RetryAfter "retry-after"
    SecWebSocketAccept "sec-websocket-accept"
    SecWebSocketKey "sec-websocket-key"
    SecWebSocketProtocol "sec-websocket-protocol"
    SecWebSocketVersion "sec-websocket-version"
    Server "server"
    SetCookie "set-cookie"
    Traceparent "traceparent"
    Tracestate "tracestate"
    UserAgent "user-agent"
    Vary "vary"
    Via "via"
    WwwAuthenticate "www-authenticate"
    XAviaryUnreached "x-aviary-unreached"
    XB3Flags "x-b3-flags"
    XB3ParentSpanId "x-b3-parentspanid"
    XB3Sampled "x-b3-sampled"
    XB3SpanId "x-b3-spanid"
    XB3TraceId "x-b3-traceid"
    XClientTraceId "x-client-trace-id"
    XEnvoyAttemptCount "x-envoy-attempt-count"
    XEnvoyDecoratorOperation "x-envoy-decorator-operation"
    XEnvoyDegraded "x-envoy-degraded"
    XEnvoyDownstreamServiceCluster "x-envoy-downstream-service-cluster"
    XEnvoyDownstreamServiceNode "x-envoy-downstream-service-node"
    XEnvoyExpectedRqTimeoutMs "x-envoy-expected-rq-timeout-ms"
    XEnvoyExternalAddress "x-envoy-external-address"
    XEnvoyForceTrace "x-envoy-force-trace"
    XEnvoyHedgeOnPerTryTimeout "x-envoy-hedge-on-per-try-timeout"
    XEnvoyImmediateHealthCheckFail "x-envoy-immediate-health-check-fail"
    XEnvoyInternal "x-envoy-internal"
    XEnvoyIpTags "x-envoy-ip-tags"
    XEnvoyIsTimeoutRetry "x-envoy-is-timeout-retry"
    XEnvoyMaxRetries "x-envoy-max-retries"
    XEnvoyOriginalHost "x-envoy-original-host"
    XEnvoyOriginalMethod "x-envoy-original-method"
    XEnvoyOriginalPath "x-envoy-original-path"
    XEnvoyOverloaded "x-envoy-overloaded"
    XEnvoyPeerMetadata "x-envoy-peer-metadata"
    XEnvoyPeerMetadataId "x-envoy-peer-metadata-id"
    XEnvoyRateLimited "x-envoy-ratelimited"
    XEnvoyRetriableHeaderNames "x-envoy-retriable-header-names"
    XEnvoyRetriableStatusCodes "x-envoy-retriable-status-codes"
    XEnvoyRetryGrpcOn "x-envoy-retry-grpc-on"
    XEnvoyRetryOn "x-envoy-retry-on"
    XEnvoyUpstreamAltStat "x-envoy-upstream-alt-stat-name"
    XEnvoyUpstreamCanary "x-envoy-upstream-canary"
    XEnvoyUpstreamRqPerTryTimeoutMs "x-envoy-upstream-rq-per-try-timeout-ms"
    XEnvoyUpstreamRqTimeoutAltResponse "x-envoy-upstream-rq-timeout-alt-response"
    XEnvoyUpstreamRqTimeoutMs "x-envoy-upstream-rq-timeout-ms"
    XEnvoyUpstreamServiceTime "x-envoy-upstream-service-time"
    XEnvoyUpstreamStreamDurationMs "x-envoy-upstream-stream-duration-ms"
    XForwardedClientCert "x-forwarded-client-cert"
    XForwardedFor "x-forwarded-for"
    XForwardedHost "x-forwarded-host"
    XForwardedPort "x-forwarded-port"
    XForwardedProto "x-forwarded-proto"
    XRealIp "x-real-ip"
    XRequestId "x-request-id"
}

/// Slots of the table; a power of two, several times the number of names.
const SLOTS: usize = 512;

/// A numbered name as the table has it.
#[derive(Clone, Copy)]
struct Slot {
    words: (u64, u64),
    length: usize,
    /// [`Name::Other`] where there is none.
    name: Name,
}

/// The numbered names by hash of their text, in the next free slot on a clash.
static TABLE: [Slot; SLOTS] = table();

/// Folds the case of the letters of a word.
const FOLD: u64 = 0x2020_2020_2020_2020;

/// Two words that tell a text of up to 16 bytes, and most longer ones, from all others of its
/// length; `| 0x20` folds the case of letters, and joins a byte of a numbered name with no other
/// byte but control bytes.
#[inline]
const fn words(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return (
            u64::from_le_bytes(*first) | FOLD,
            u64::from_le_bytes(*last) | FOLD,
        );
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return (
            u32::from_le_bytes(*first) as u64 | FOLD,
            u32::from_le_bytes(*last) as u64 | FOLD,
        );
    }
    match *text {
        [one] => (one as u64 | FOLD, 0),
        [one, two] => (one as u64 | FOLD, two as u64 | FOLD),
        [one, two, three] => (one as u64 | (two as u64) << 8 | FOLD, three as u64 | FOLD),
        _ => (0, 0),
    }
}

/// A hash of a text by its words.
#[inline]
const fn mix(length: usize, (first, last): (u64, u64)) -> u64 {
    (first ^ last.rotate_left(29) ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The slot where a search begins.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "only the upper bits are left"
)]
const fn slot(mixed: u64) -> usize {
    (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

/// Tells names without a number apart, mostly.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "these bits are as good as others"
)]
const fn tag(mixed: u64) -> u16 {
    (mixed >> 32) as u16
}

const fn table() -> [Slot; SLOTS] {
    let free = Slot {
        words: (0, 0),
        length: 0,
        name: Name::Other,
    };
    let mut table = [free; SLOTS];
    let mut number = 0;
    while number < TEXTS.len() {
        let text = TEXTS[number].as_bytes();
        let words = words(text);
        let mut at = slot(mix(text.len(), words));
        while !matches!(table[at].name, Name::Other) {
            at = (at + 1) % SLOTS;
        }
        table[at] = Slot {
            words,
            length: text.len(),
            name: NAMES[number],
        };
        number += 1;
    }
    table
}

impl Name {
    /// The number of `text`, which has no control bytes, in any case; [`Name::Other`] when it has
    /// none. What has a number is a token.
    pub fn of(text: &[u8]) -> Self {
        Self::tagged(text).0
    }

    /// The same, and what tells texts without a number apart, mostly.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it is asked of each line, and mostly the first slot is it"
    )]
    pub(crate) fn tagged(text: &[u8]) -> (Self, u16) {
        let words = words(text);
        let mixed = mix(text.len(), words);
        let mut at = slot(mixed);
        loop {
            let slot = &TABLE[at];
            let same = slot.words == words && slot.length == text.len();
            if same && (text.len() <= 16 || same_middle(text, slot.name)) {
                return (slot.name, tag(mixed));
            }
            if slot.name == Self::Other {
                return (Self::Other, tag(mixed));
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// Where a name stands in a set: the word, and the bit in it.
    #[inline]
    pub(crate) const fn place(self) -> (usize, u64) {
        const { assert!((Self::Other as u8) < 128, "there are more names than bits") };
        let number = self as usize;
        (number / 64 % 2, 1 << (number % 64))
    }

    /// Whether values differ from message to message.
    pub(crate) fn is_unique(self) -> bool {
        matches!(
            self,
            Self::B3
                | Self::Traceparent
                | Self::XB3ParentSpanId
                | Self::XB3SpanId
                | Self::XB3TraceId
                | Self::XRequestId
        )
    }

    /// The text in lower case; empty for [`Name::Other`].
    pub fn text(self) -> &'static str {
        TEXTS.get(self as usize).copied().unwrap_or_default()
    }
}

/// Whether `text` without control bytes is that of `name`, which has only `[a-z0-9-]` and the same
/// length over 16 bytes, between the first and the last eight bytes.
#[inline(never)]
fn same_middle(text: &[u8], name: Name) -> bool {
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word) | FOLD)
    };
    let lower = name.text().as_bytes();
    let mut middle = (8..text.len() - 8).step_by(8);
    middle.all(|at| word(text, at) == word(lower, at))
}

/// Several names at once; those without a number count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameSet([u64; 2]);

impl NameSet {
    /// The set of `names`.
    pub const fn new(names: &[Name]) -> Self {
        let mut words = [0; 2];
        let mut at = 0;
        while at < names.len() {
            let (word, bit) = names[at].place();
            words[word] |= bit;
            at += 1;
        }
        Self(words)
    }

    /// The numbered names whose texts begin with `start`.
    pub const fn starting_with(start: &[u8]) -> Self {
        let mut words = [0; 2];
        let mut number = 0;
        while number < NAMES.len() {
            let text = TEXTS[number].as_bytes();
            let mut same = 0;
            while same < start.len() && same < text.len() && text[same] == start[same] {
                same += 1;
            }
            if same == start.len() {
                let (word, bit) = NAMES[number].place();
                words[word] |= bit;
            }
            number += 1;
        }
        Self(words)
    }

    /// Whether `name` is in it.
    #[inline]
    pub const fn contains(&self, name: Name) -> bool {
        let (word, bit) = name.place();
        self.0[word] & bit != 0
    }

    /// A bit for each name, at its [`Name::place`].
    #[inline]
    pub(crate) const fn words(&self) -> [u64; 2] {
        self.0
    }
}

/// What a field is asked for by: its number, and its text for names without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    name: Name,
    /// That of the text of a name without a number, and 0 for others.
    tag: u16,
    text: &'a str,
}

impl<'a> Key<'a> {
    /// The number.
    pub fn name(&self) -> Name {
        self.name
    }

    /// What tells it from other names without a number, mostly.
    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }

    /// The text, in lower case.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

impl From<Name> for Key<'static> {
    /// [`Name::Other`] is the key of no field.
    fn from(name: Name) -> Self {
        Self {
            name,
            tag: 0,
            text: name.text(),
        }
    }
}

impl<'a> From<&'a str> for Key<'a> {
    /// `text` should be in lower case: this is how it is written when a field is added.
    fn from(text: &'a str) -> Self {
        let (name, tag) = Name::tagged(text.as_bytes());
        Self {
            name,
            tag: if name == Name::Other { tag } else { 0 },
            text,
        }
    }
}

/// A key that owns its text, made once per configuration change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBuf {
    name: Name,
    tag: u16,
    text: Box<str>,
}

impl KeyBuf {
    /// The key of `name`, which is folded to lower case.
    pub fn new(name: &str) -> Self {
        let text = name.to_ascii_lowercase().into_boxed_str();
        let Key { name, tag, .. } = Key::from(&*text);
        Self { name, tag, text }
    }

    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key {
            name: self.name,
            tag: self.tag,
            text: &self.text,
        }
    }
}

impl<'a> From<&'a KeyBuf> for Key<'a> {
    fn from(key: &'a KeyBuf) -> Self {
        key.key()
    }
}
