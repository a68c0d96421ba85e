//! Object types of the mesh: Istio kinds, `Release`, their schemas and validation, sidecar injection
//! and the mesh's own objects.
//!
//! This crate is vocabulary: it reads and makes plain data and never acts. Kubernetes' own types
//! come from `k8s-openapi`.
//!
//! Read first: [`VirtualService`], [`crd::all`], [`validate::validate`].

pub mod names;
pub mod duration;
pub mod selector;
pub mod object;
pub mod virtual_service;
pub mod destination_rule;
pub mod gateway;
pub mod release;
mod schema;
pub mod crd;
pub mod validate;
pub mod inject;
pub mod platform;

pub use destination_rule::DestinationRule;
pub use gateway::Gateway;
pub use object::Object;
pub use release::Release;
pub use validate::{Finding, validate};
pub use virtual_service::VirtualService;

/// API group of Istio's traffic kinds.
pub const NETWORKING_GROUP: &str = "networking.istio.io";
/// The namespace of the mesh's own objects, Istio's root namespace.
pub const ROOT_NAMESPACE: &str = "istio-system";
/// The domain of the cluster and of its identities.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
