//! TLS of both sides, by rustls.
//!
//! Everything that costs is made once per configuration change, on the control thread
//! ([`Contexts`]); a handshake takes what is in force at its beginning, so new certificates need no
//! pause. [`Session`] is the encrypted connection itself.

pub(crate) mod hello;
mod context;
mod material;
mod peer;
mod session;
mod verify;
mod watch;

pub(crate) use context::Contexts;
pub(crate) use peer::Peer;
pub(crate) use session::Session;
pub(crate) use watch::watch_files;
