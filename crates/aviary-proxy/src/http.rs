//! The border to the HTTP codec: nothing outside this module names its types.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod tunnel;

pub(crate) use body::Body;
