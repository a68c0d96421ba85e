//! The table that every connection begins with.
//!
//! Source: RFC 7541, Appendix A.

use super::Kind;
use crate::name::Name;

/// The entries; the first one has number 1.
pub(super) const ENTRIES: [(Kind, &str, &str); 61] = [
    (Kind::Authority, ":authority", ""),
    (Kind::Method, ":method", "GET"),
    (Kind::Method, ":method", "POST"),
    (Kind::Path, ":path", "/"),
    (Kind::Path, ":path", "/index.html"),
    (Kind::Scheme, ":scheme", "http"),
    (Kind::Scheme, ":scheme", "https"),
    (Kind::Status, ":status", "200"),
    (Kind::Status, ":status", "204"),
    (Kind::Status, ":status", "206"),
    (Kind::Status, ":status", "304"),
    (Kind::Status, ":status", "400"),
    (Kind::Status, ":status", "404"),
    (Kind::Status, ":status", "500"),
    (Kind::Field(Name::Other), "accept-charset", ""),
    (
        Kind::Field(Name::AcceptEncoding),
        "accept-encoding",
        "gzip, deflate",
    ),
    (Kind::Field(Name::AcceptLanguage), "accept-language", ""),
    (Kind::Field(Name::Other), "accept-ranges", ""),
    (Kind::Field(Name::Accept), "accept", ""),
    (
        Kind::Field(Name::AccessControlAllowOrigin),
        "access-control-allow-origin",
        "",
    ),
    (Kind::Field(Name::Other), "age", ""),
    (Kind::Field(Name::Other), "allow", ""),
    (Kind::Field(Name::Authorization), "authorization", ""),
    (Kind::Field(Name::CacheControl), "cache-control", ""),
    (Kind::Field(Name::Other), "content-disposition", ""),
    (Kind::Field(Name::ContentEncoding), "content-encoding", ""),
    (Kind::Field(Name::Other), "content-language", ""),
    (Kind::Field(Name::ContentLength), "content-length", ""),
    (Kind::Field(Name::Other), "content-location", ""),
    (Kind::Field(Name::ContentRange), "content-range", ""),
    (Kind::Field(Name::ContentType), "content-type", ""),
    (Kind::Field(Name::Cookie), "cookie", ""),
    (Kind::Field(Name::Date), "date", ""),
    (Kind::Field(Name::Etag), "etag", ""),
    (Kind::Field(Name::Expect), "expect", ""),
    (Kind::Field(Name::Other), "expires", ""),
    (Kind::Field(Name::Other), "from", ""),
    (Kind::Field(Name::Host), "host", ""),
    (Kind::Field(Name::Other), "if-match", ""),
    (Kind::Field(Name::Other), "if-modified-since", ""),
    (Kind::Field(Name::Other), "if-none-match", ""),
    (Kind::Field(Name::Other), "if-range", ""),
    (Kind::Field(Name::Other), "if-unmodified-since", ""),
    (Kind::Field(Name::LastModified), "last-modified", ""),
    (Kind::Field(Name::Other), "link", ""),
    (Kind::Field(Name::Location), "location", ""),
    (Kind::Field(Name::Other), "max-forwards", ""),
    (
        Kind::Field(Name::ProxyAuthenticate),
        "proxy-authenticate",
        "",
    ),
    (
        Kind::Field(Name::ProxyAuthorization),
        "proxy-authorization",
        "",
    ),
    (Kind::Field(Name::Range), "range", ""),
    (Kind::Field(Name::Referer), "referer", ""),
    (Kind::Field(Name::Other), "refresh", ""),
    (Kind::Field(Name::RetryAfter), "retry-after", ""),
    (Kind::Field(Name::Server), "server", ""),
    (Kind::Field(Name::SetCookie), "set-cookie", ""),
    (Kind::Field(Name::Other), "strict-transport-security", ""),
    (Kind::Field(Name::TransferEncoding), "transfer-encoding", ""),
    (Kind::Field(Name::UserAgent), "user-agent", ""),
    (Kind::Field(Name::Vary), "vary", ""),
    (Kind::Field(Name::Via), "via", ""),
    (Kind::Field(Name::WwwAuthenticate), "www-authenticate", ""),
];

/// Number of the first entry with a name that is known by its number; 0 when there is none.
const BY_NAME: [u8; Name::Other as usize + 1] = {
    let mut numbers = [0; Name::Other as usize + 1];
    let mut at = ENTRIES.len();
    while at > 0 {
        if let Kind::Field(name) = ENTRIES[at - 1].0 {
            numbers[name as usize] = number(at);
        }
        at -= 1;
    }
    numbers[Name::Other as usize] = 0;
    numbers
};

#[expect(clippy::cast_possible_truncation, reason = "there are 61 entries")]
const fn number(at: usize) -> u8 {
    at as u8
}

/// The first entry with the name of this kind.
pub(super) fn name(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Authority => Some(1),
        Kind::Method => Some(2),
        Kind::Path => Some(4),
        Kind::Scheme => Some(6),
        Kind::Status => Some(8),
        Kind::Field(name) => match BY_NAME[name as usize] {
            0 => None,
            number => Some(usize::from(number)),
        },
        Kind::Bad => None,
    }
}

/// The entry that is this field.
pub(super) fn field(kind: Kind, value: &[u8]) -> Option<usize> {
    match (kind, value) {
        (Kind::Method, b"GET") => Some(2),
        (Kind::Method, b"POST") => Some(3),
        (Kind::Path, b"/") => Some(4),
        (Kind::Path, b"/index.html") => Some(5),
        (Kind::Scheme, b"http") => Some(6),
        (Kind::Scheme, b"https") => Some(7),
        (Kind::Status, b"200") => Some(8),
        (Kind::Status, b"204") => Some(9),
        (Kind::Status, b"206") => Some(10),
        (Kind::Status, b"304") => Some(11),
        (Kind::Status, b"400") => Some(12),
        (Kind::Status, b"404") => Some(13),
        (Kind::Status, b"500") => Some(14),
        (Kind::Field(Name::AcceptEncoding), b"gzip, deflate") => Some(16),
        _ => None,
    }
}
