//! What an API server knows of each kind: schema, defaults, validation, patches, ownership, tables.
//!
//! Everything here is a pure function over `serde_json::Value`: no clock, no entropy, no IO. Times
//! come in as arguments.
//!
//! Read first: [`Kind`] (one served resource and what can be done with its objects), [`Registry`]
//! (all kinds of one server at one moment) and [`Schema`] (the field tree that strict decoding,
//! defaults, patches and ownership walk).

pub mod schema;
pub mod kind;
pub mod registry;
pub mod decode;
pub mod quantity;
mod defaults;
mod validate;
mod prepare;
pub mod patch;
pub mod fields;
pub mod protobuf;
pub mod crd;
pub mod table;
pub mod discovery;
pub mod openapi;
pub mod status;

pub use decode::{Decoded, FieldValidation, Invalid, parse_json};
pub use kind::{Kind, Scope, Subresource};
pub use registry::Registry;
pub use schema::Schema;
pub use status::{Cause, Status};
