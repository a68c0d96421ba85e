//! The node agent: pods as processes in their own namespaces, rootless.
//!
//! It must never hold the only handle on a running pod: the namespaces belong to [`sandbox_main`] and to each pod's
//! [`pod_init_main`], so the agent ([`run`]) can die at any moment and adopt the pods when it comes back.
//!
//! Three processes, in the order in which they start:
//! - [`sandbox_main`]: holds the node's namespaces, bridge and DNS server. When it dies the kernel ends everything inside.
//! - [`enter`] then [`run`]: the agent itself.
//! - [`pod_init_main`]: one per pod, parent of its containers.

pub mod agent;
mod dns;
pub mod init;
pub mod network;
mod pod;
pub mod sandbox;
mod sys;

pub use agent::{Config, run};
pub use init::pod_init_main;
pub use pod::catalog::built_in_images;
pub use sandbox::{Entered, enter, exec_in_node, exec_in_pod, sandbox_main};
