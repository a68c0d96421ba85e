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

/// A slot from the length and four bytes; `| 0x20` folds the case of letters and changes no other
/// byte of a numbered name.
const fn slot(text: &[u8]) -> usize {
    let length = text.len();
    let first = (text[0] | 0x20) as usize;
    let middle = (text[length / 2] | 0x20) as usize;
    let late = (text[length - length.div_ceil(4)] | 0x20) as usize;
    let last = (text[length - 1] | 0x20) as usize;
    (length * 17 + first * 3 + middle * 41 + late * 101 + last * 59) % SLOTS
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
        let mut at = slot(TEXTS[number].as_bytes());
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
        if text.is_empty() {
            return Self::Other;
        }
        let mut at = slot(text);
        loop {
            let number = usize::from(TABLE[at]);
            let Some(known) = TEXTS.get(number) else {
                return Self::Other;
            };
            if same_folded(text, known.as_bytes()) {
                return NAMES[number];
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// The text in lower case; empty for [`Name::Other`].
    pub fn text(self) -> &'static str {
        TEXTS.get(self as usize).copied().unwrap_or_default()
    }
}

/// Whether `text` without control bytes equals `lower`, which has only `[a-z0-9-]`: then it is a
/// token.
///
/// For these bytes `| 0x20` folds letters, and joins nothing else but control bytes.
#[inline]
fn same_folded(text: &[u8], lower: &[u8]) -> bool {
    if text.len() != lower.len() {
        return false;
    }
    let Some((text_end, lower_end)) = text.last_chunk::<8>().zip(lower.last_chunk::<8>()) else {
        return text
            .iter()
            .zip(lower)
            .all(|(one, other)| one | 0x20 == *other);
    };
    let folded = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk) | 0x2020_2020_2020_2020;
    let (pieces, _) = text.as_chunks::<8>();
    let (others, _) = lower.as_chunks::<8>();
    pieces
        .iter()
        .zip(others)
        .all(|(one, other)| folded(one) == u64::from_le_bytes(*other))
        && folded(text_end) == u64::from_le_bytes(*lower_end)
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
