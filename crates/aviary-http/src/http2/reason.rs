//! Error codes.

use std::fmt;

/// Why a stream or a connection ends.
///
/// Source: RFC 9113 §7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u32);

impl Reason {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Something failed that is not the peer's doing.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// The peer sent more than a window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame came for a stream that is over.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame has a length that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nothing of the request was looked at.
    pub const REFUSED_STREAM: Self = Self(7);
    /// Nobody waits any more.
    pub const CANCEL: Self = Self(8);
    /// A head cannot be decompressed.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The peer sends too much of something.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    /// Whether it says that the one who hears it did wrong; others tell of somebody further on.
    pub(crate) fn is_provoked(self) -> bool {
        matches!(
            self,
            Self::PROTOCOL_ERROR
                | Self::FLOW_CONTROL_ERROR
                | Self::STREAM_CLOSED
                | Self::FRAME_SIZE_ERROR
                | Self::REFUSED_STREAM
                | Self::COMPRESSION_ERROR
                | Self::ENHANCE_YOUR_CALM
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            other => return write!(f, "code {other}"),
        })
    }
}
