//! The model as Envoy protobuf and back; both sides of an ADS session as state machines.
//!
//! This crate has no sockets and no clock: messages and time come in and go out by function calls.
//!
//! Read first: [`Resource`], [`ads::ServerSession`], [`ads::ClientSession`].

pub mod type_url;
pub mod name;
pub mod resource;
pub mod snapshot;
pub mod ads;
pub mod bootstrap;

pub use bootstrap::Bootstrap;
pub use envoy_types::pb as protobuf;
pub use resource::Resource;
pub use snapshot::Snapshot;
pub use type_url::Kind;
