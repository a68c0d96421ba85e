//! Which HTTP goes to an endpoint.

use aviary_http::Version;
use aviary_mesh::cluster::UpstreamProtocol;

/// What a request is to be sent by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Either, as the handshake says.
    Agreed,
}

impl Spoken {
    /// All of them, each at its number.
    pub(super) const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Agreed];

    /// What a cluster of this kind speaks for a client that came with `version`.
    pub(super) fn of(protocol: UpstreamProtocol, version: Version) -> Self {
        match protocol {
            UpstreamProtocol::Http2 => Self::Http2,
            UpstreamProtocol::Alpn => Self::Agreed,
            UpstreamProtocol::Downstream if version == Version::Http2 => Self::Http2,
            UpstreamProtocol::Downstream | UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => {
                Self::Http1
            }
        }
    }

    /// What a handshake offers when the configuration does not say.
    ///
    /// Source: Envoy's fallback of its HTTP pools.
    pub(super) fn offers(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Agreed => &[b"h2", b"http/1.1"],
        }
    }
}
