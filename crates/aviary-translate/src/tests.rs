//! Call tables: objects in, requests answered by the proxy's own matcher.

mod bookinfo;
mod effective;
mod goldens;
mod gateway_rules;
mod overlays;
mod policies;
mod settling;
mod sidecar_rules;
mod support;
mod tutorials;
