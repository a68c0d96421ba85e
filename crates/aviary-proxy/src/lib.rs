//! The data plane: sidecar and gateway.
