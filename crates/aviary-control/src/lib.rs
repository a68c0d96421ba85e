//! The control plane: ADS server, push, status, controller manager.

pub mod manager;
