//! Object types of the mesh: Istio kinds, their schemas, defaulting and validation.
