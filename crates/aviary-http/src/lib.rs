//! HTTP messages as bytes: what a proxy reads, edits and writes.
//!
//! A head keeps the bytes that came in. Fields are spans into them; what is taken out leaves a gap,
//! what is added stands at the end, and everything in between goes out as it came. Nothing that two
//! readers could understand differently gets in: see [`Error`] for all that is refused.
//!
//! This crate has no sockets, clock or threads, and never panics on bytes from the network.
//!
//! Read first: [`Fields`], [`RequestHead`], [`parse::Scanner`].

pub mod name;
pub mod fields;
pub mod message;
pub mod error;
pub mod request;
pub mod response;
pub mod parse;
pub mod body;
pub mod path;
pub mod host;
pub mod frames;
pub mod hpack;
pub mod http2;

pub use error::Error;
pub use fields::Fields;
pub use message::{Connection, Framing, Scheme, Upgrade, Version};
pub use name::{Key, Name, NameSet};
pub use request::{Method, RequestHead};
pub use response::ResponseHead;
