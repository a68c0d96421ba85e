//! Header fields that belong to one hop, and edits.

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE};

use aviary_mesh::route::HeaderEdits;

/// Fields that never go on. Source: RFC 9110 §7.6.1, Envoy's connection manager.
const HOP_BY_HOP: [&str; 5] = [
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "connection",
    "upgrade",
];

/// Removes what belongs to the hop a message came on, also what `connection` names.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        // A client must not remove what routing needs.
        if name != HOST {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|value| value != "trailers") {
        headers.remove(TE);
    }
}

/// Whether a message asks to become a WebSocket.
pub(crate) fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Puts back what [`strip_hop`] removed from a WebSocket's handshake.
pub(crate) fn put_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Removes what an edge believes of nobody: who forwarded, and Envoy's own controls.
pub(crate) fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            name.as_str().starts_with("x-envoy-") || name.as_str().starts_with("x-forwarded-")
        })
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Applies edits: removals, then overwrites, then additions. `host` is not touched here.
pub(crate) fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name.as_str());
    }
    for (name, value) in &edits.set {
        if let Some((name, value)) = field(name, value) {
            headers.insert(name, value);
        }
    }
    for (name, value) in &edits.add {
        if let Some((name, value)) = field(name, value) {
            headers.append(name, value);
        }
    }
}

/// What is no header field was refused when the configuration came; here it is left out.
fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// A header's value as text, empty when absent or not text.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(field).collect()
    }

    #[test]
    fn strip_hop_removes_what_connection_names_but_not_host() {
        let mut headers = map(&[
            ("connection", "close, x-own, host"),
            ("x-own", "1"),
            ("host", "reviews"),
            ("te", "gzip"),
            ("keep-alive", "timeout=5"),
            ("accept", "*/*"),
        ]);
        strip_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "reviews"), ("accept", "*/*")]));
    }

    #[test]
    fn edit_order_is_remove_set_add() {
        let edits = HeaderEdits {
            remove: vec!["a".into(), "b".into()],
            set: vec![("b".into(), "1".into())],
            add: vec![("b".into(), "2".into())],
        };
        let mut headers = map(&[("a", "0"), ("b", "0")]);
        edit(&mut headers, &edits);
        let mut want = map(&[("b", "1")]);
        want.append("b", HeaderValue::from_static("2"));
        assert_eq!(headers, want);
    }

    #[test]
    fn strip_claims_leaves_the_rest() {
        let mut headers = map(&[
            ("x-forwarded-for", "1"),
            ("x-envoy-retry-on", "5xx"),
            ("x-b", "1"),
        ]);
        strip_claims(&mut headers);
        assert_eq!(headers, map(&[("x-b", "1")]));
    }
}
