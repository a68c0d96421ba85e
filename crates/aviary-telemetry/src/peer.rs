//! What two proxies tell each other of their workloads, in one header each way.

use std::collections::HashMap;
use std::sync::Arc;

use aviary_http::Name;
use aviary_mesh::endpoint::WorkloadLabels;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The header. A sidecar reads and removes it; a gateway removes it from what clients send.
pub const HEADER: Name = Name::XEnvoyPeerMetadata;

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

/// Values that one worker remembers at most.
const PEERS_LIMIT: usize = 1024;

/// The peers that a worker met, so that the labels of one keep their address from request to
/// request, and a value is decoded once. It belongs to one thread.
#[derive(Debug, Default)]
pub struct Peers {
    known: HashMap<Box<str>, Option<Arc<WorkloadLabels>>>,
}

impl Peers {
    /// The labels in a header value, as [`decode`] finds them.
    pub fn meet(&mut self, value: &str) -> Option<Arc<WorkloadLabels>> {
        if value.len() > LIMIT {
            return None;
        }
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        if self.known.len() >= PEERS_LIMIT {
            // Most likely made up; real ones come back at once.
            self.known.clear();
        }
        let labels = decode(value).map(Arc::new);
        self.known.insert(value.into(), labels.clone());
        labels
    }
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
    fn meet_same_value_gives_the_same_labels() {
        let value = encode(&WorkloadLabels::default());
        let mut peers = Peers::default();
        let first = peers.meet(&value).unwrap();
        assert!(Arc::ptr_eq(&first, &peers.meet(&value).unwrap()));
        assert_eq!(peers.meet("made up"), None);
        for number in 0..PEERS_LIMIT * 2 {
            assert_eq!(peers.meet(&number.to_string()), None);
        }
        assert!(peers.known.len() <= PEERS_LIMIT);
    }

    #[test]
    fn decode_foreign_value_is_none() {
        assert_eq!(decode("ChoKCkNMVVNURVJfSUQ="), None);
        assert_eq!(decode(&"A".repeat(5000)), None);
    }
}
