//! Tokens that prove which proxy is speaking.

use aws_lc_rs::hmac;

/// Checks tokens of one key.
pub(super) struct Verifier(hmac::Key);

impl Verifier {
    /// For tokens of `key`.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Whether `token` is `hex(HMAC-SHA256(key, node))`. Takes the same time for all wrong tokens.
    pub(super) fn accepts(&self, node: &str, token: &str) -> bool {
        bytes(token).is_some_and(|tag| hmac::verify(&self.0, node.as_bytes(), &tag).is_ok())
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

/// Bytes as lower-case hexadecimal digits.
#[cfg(test)]
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &[u8; 32], node: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, node.as_bytes());
        hex(tag.as_ref())
    }

    #[test]
    fn token_holds_for_its_node_only() {
        let key = [7; 32];
        let verifier = Verifier::new(&key);
        let good = token(&key, "sidecar~10.244.0.5~a.prod~prod.svc.cluster.local");
        assert!(verifier.accepts("sidecar~10.244.0.5~a.prod~prod.svc.cluster.local", &good));
        assert!(!verifier.accepts("sidecar~10.244.0.5~b.prod~prod.svc.cluster.local", &good));
        assert!(!verifier.accepts("a", &token(&[8; 32], "a")));
        for wrong in ["", "0", "zz", "abcd"] {
            assert!(!verifier.accepts("a", wrong));
        }
    }
}
