//! An embedded Kubernetes-compatible API server: a durable store, watches, REST and admission.
//!
//! It never starts controllers, never runs pods and never reads the clock or entropy outside the
//! shell functions that say so; what it knows of each kind comes from `aviary-kinds`.
//!
//! Read first: [`Server`] (opens and serves), [`store::Store`] (log, snapshots, watches),
//! [`Admission`] (hooks of the binary).

pub mod admission;
pub mod store;

pub use admission::{Admission, AdmissionRequest, Denial, DenialCause, Operation};
