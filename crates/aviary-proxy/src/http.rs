//! The border of the codecs: above it messages are heads, sources and sinks, whatever is spoken.

pub(crate) mod body;
pub(crate) mod buffer;
pub(crate) mod downstream;
pub(crate) mod ending;
pub(crate) mod heads;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod serve;
pub(crate) mod terms;
pub(crate) mod timer;
pub(crate) mod tunnel;
