//! What two proxies tell each other of their workloads, in one header each way.

use aviary_mesh::endpoint::WorkloadLabels;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The header. A sidecar reads and removes it; a gateway removes it from what clients send.
pub const HEADER: &str = "x-envoy-peer-metadata";

/// Longest value that is read, in bytes.
const LIMIT: usize = 4096;

/// The labels as a header value.
pub fn encode(labels: &WorkloadLabels) -> String {
    // Plain strings always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(labels).unwrap_or_default())
}

/// The labels in a header value; `None` when it is not one of ours.
pub fn decode(value: &str) -> Option<WorkloadLabels> {
    if value.len() > LIMIT {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_encoded_labels_gives_them_back() {
        let labels = WorkloadLabels {
            workload: "reviews-v1".into(),
            ..WorkloadLabels::default()
        };
        assert_eq!(decode(&encode(&labels)), Some(labels));
    }

    #[test]
    fn decode_foreign_value_is_none() {
        assert_eq!(decode("ChoKCkNMVVNURVJfSUQ="), None);
        assert_eq!(decode(&"A".repeat(5000)), None);
    }
}
