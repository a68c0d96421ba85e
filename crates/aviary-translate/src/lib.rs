//! Kubernetes and Istio objects to the mesh's configuration model.
