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
/// A slot without a name.
const EMPTY: u8 = u8::MAX;
/// Numbers of names by hash of their text, the next free slot on a clash.
static TABLE: [u8; SLOTS] = table();

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

/// Words of the numbered names, by number.
static WORDS: [(u64, u64); TEXTS.len()] = {
    let mut all = [(0, 0); TEXTS.len()];
    let mut number = 0;
    while number < TEXTS.len() {
        all[number] = words(TEXTS[number].as_bytes());
        number += 1;
    }
    all
};

/// The slot where a search begins.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only the upper bits are left"
)]
const fn slot(length: usize, (first, last): (u64, u64)) -> usize {
    let mixed = (first ^ last.rotate_left(29) ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "there are fewer than 255 names, or the build stops at the assertion"
)]
const fn table() -> [u8; SLOTS] {
    assert!(TEXTS.len() < EMPTY as usize);
    let mut table = [EMPTY; SLOTS];
    let mut number = 0;
    while number < TEXTS.len() {
        let text = TEXTS[number].as_bytes();
        let mut at = slot(text.len(), words(text));
        while table[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        table[at] = number as u8;
        number += 1;
    }
    table
}

impl Name {
    /// The number of `text`, which has no control bytes, in any case; [`Name::Other`] when it has
    /// none. What has a number is a token.
    pub fn of(text: &[u8]) -> Self {
        let words = words(text);
        let mut at = slot(text.len(), words);
        loop {
            let number = usize::from(TABLE[at]);
            let Some(known) = TEXTS.get(number) else {
                return Self::Other;
            };
            if known.len() == text.len()
                && WORDS[number] == words
                && (text.len() <= 16 || same_middle(text, known.as_bytes()))
            {
                return NAMES[number];
            }
            at = (at + 1) % SLOTS;
        }
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

/// Whether `text` without control bytes equals `lower`, which has only `[a-z0-9-]` and the same
/// length over 16 bytes, between the first and the last eight bytes.
fn same_middle(text: &[u8], lower: &[u8]) -> bool {
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word) | FOLD)
    };
    let mut middle = (8..text.len() - 8).step_by(8);
    middle.all(|at| word(text, at) == word(lower, at))
}

/// What a field is asked for by: its number, and its text for names without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    name: Name,
    text: &'a str,
}

impl<'a> Key<'a> {
    /// The number.
    pub fn name(&self) -> Name {
        self.name
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
            text: name.text(),
        }
    }
}

impl<'a> From<&'a str> for Key<'a> {
    /// `text` should be in lower case: this is how it is written when a field is added.
    fn from(text: &'a str) -> Self {
        Self {
            name: Name::of(text.as_bytes()),
            text,
        }
    }
}

/// A key that owns its text, made once per configuration change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBuf {
    name: Name,
    text: Box<str>,
}

impl KeyBuf {
    /// The key of `name`, which is folded to lower case.
    pub fn new(name: &str) -> Self {
        let text = name.to_ascii_lowercase().into_boxed_str();
        Self {
            name: Name::of(text.as_bytes()),
            text,
        }
    }

    /// The key.
    pub fn key(&self) -> Key<'_> {
        Key {
            name: self.name,
            text: &self.text,
        }
    }
}

impl<'a> From<&'a KeyBuf> for Key<'a> {
    fn from(key: &'a KeyBuf) -> Self {
        key.key()
    }
}
