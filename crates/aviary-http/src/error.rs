//! Why a message is refused.

use std::fmt;

/// Makes [`Error`] with the status and the detail of each.
macro_rules! errors {
    ($($(#[$doc:meta])+ $variant:ident $status:literal $detail:literal;)*) => {
        /// Why a message is refused; the connection is closed after the answer, and nothing of the
        /// message is forwarded.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Error {
            $($(#[$doc])+ $variant,)*
        }

        impl Error {
            /// Status of the answer to a client; an endpoint's broken response is a 502.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// Response code detail of the access log.
            ///
            /// Source: Envoy `source/common/http/http1/codec_impl.cc`, where it has one.
            pub fn detail(self) -> &'static str {
                match self {
                    $(Self::$variant => $detail,)*
                }
            }
        }
    };
}

errors! {
    /// The head is longer than [`crate::parse::Limits::head_bytes`].
    HeadTooLarge 431 "http1.headers_too_large";
    /// More fields than [`crate::parse::Limits::fields`].
    TooManyFields 431 "http1.too_many_headers";
    /// The target is longer than [`crate::parse::Limits::target_bytes`].
    TargetTooLong 414 "http1.target_too_long";
    /// The first line is not method, target and version, or not version and status.
    BadStartLine 400 "http1.codec_error";
    /// A version other than 1.0 and 1.1.
    BadVersion 505 "http1.version_not_supported";
    /// The target has a control byte, a space, `#` or a byte that is not ASCII, or no known form.
    BadTarget 400 "http1.invalid_url";
    /// A carriage return, line feed, NUL or other control byte where none may stand.
    BadByte 400 "http1.invalid_characters";
    /// A field without a name, with a space in or after its name, or continued from the line
    /// before.
    BadField 400 "http1.codec_error";
    /// No `host` field, or an empty one.
    MissingHost 400 "missing_host_header";
    /// Several `host` fields.
    SeveralHosts 400 "http1.several_hosts";
    /// A host with bytes that no host has.
    BadHost 400 "http1.invalid_host";
    /// Target and `host` field name different hosts.
    HostMismatch 400 "http1.host_mismatch";
    /// The path has no normal form, or has escaped slashes where these are refused.
    PathRefused 400 "path_normalization_failed";
    /// `content-length` is not only digits, over 2^63-1, a list, or there are several.
    BadContentLength 400 "http1.invalid_content_length";
    /// `content-length` where there can be no body.
    ContentLengthNotAllowed 400 "http1.content_length_not_allowed";
    /// `content-length` together with `transfer-encoding`.
    LengthAndChunked 400 "http1.content_length_and_chunked_not_allowed";
    /// `transfer-encoding` is not exactly `chunked`, or there are several.
    BadTransferEncoding 400 "http1.invalid_transfer_encoding";
    /// `transfer-encoding` in HTTP/1.0, in HTTP/2, or where there can be no body.
    TransferEncodingNotAllowed 400 "http1.transfer_encoding_not_allowed";
    /// `connection` names a field that must not be taken out, or too many.
    BadConnection 400 "http1.connection_header_rejected";
    /// A chunk's size is not only hexadecimal digits, or over 2^63-1, or its line is broken.
    BadChunk 400 "http1.invalid_chunk";
    /// Chunk extensions of one body are longer than [`crate::body::EXTENSION_LIMIT`].
    ExtensionsTooLong 413 "http1.chunk_extensions_too_long";
    /// Trailers are longer than [`crate::body::TRAILER_LIMIT`], or too many.
    TrailersTooLarge 431 "http1.trailers_too_large";
    /// A field that HTTP/2 forbids: one of the connection's, or `te` other than `trailers`.
    ConnectionField 400 "http2.connection_specific_header";
    /// The body that HTTP/2 frames announce is not as long as `content-length`.
    LengthMismatch 400 "http2.content_length_mismatch";
    /// A field whose name HTTP/2 does not have, or a pseudo field that is missing, misplaced, doubled
    /// or has a value that it cannot have.
    BadName 400 "http2.invalid_header_field";
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Error {}
