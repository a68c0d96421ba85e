//! An embedded Kubernetes-compatible API server: a durable store, watches, REST and admission.
//!
//! It starts no controllers and runs no pods; what it knows of each kind comes from
//! `aviary-kinds`.
//!
//! Read first: [`Server`] (opens and serves), [`store::Store`] (log, snapshots, watches),
//! [`Admission`] (hooks of the binary).

pub mod store;
pub mod admission;
mod allocate;
mod api;
mod auth;
mod bootstrap;
mod builtin;
mod convert;
mod http;
pub mod pki;
pub mod server;

pub use admission::{Admission, AdmissionRequest, Denial, DenialCause, Operation};
pub use server::{Body, ClientService, Config, Error, Server};
