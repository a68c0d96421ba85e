//! An embedded Kubernetes-compatible API server: store, watch, REST, admission.
