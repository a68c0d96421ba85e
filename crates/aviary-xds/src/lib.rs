//! The model as Envoy protobuf and back; both sides of an ADS session as state machines.
//!
//! This crate has no sockets and no clock: messages and time come in and go out by function calls.
//!
//! Read first: [`Resource`], [`ads::ServerSession`], [`ads::ClientSession`].

pub mod type_url;
pub mod resource;

pub use envoy_types::pb as protobuf;
pub use resource::Resource;
pub use type_url::Kind;
