//! Edits of heads: what routes ask for, and what is believed of whom.

mod edits;

use aviary_http::{Fields, Name, NameSet};

pub(crate) use edits::apply;

/// Numbered names in which proxies talk to each other.
const ENVOYS: NameSet = NameSet::starting_with(b"x-envoy-");
const FORWARDED: NameSet = NameSet::starting_with(b"x-forwarded-");

/// Removes what an edge believes of nobody: who forwarded, and what other proxies say. An internal
/// client keeps the proxy's own controls, and `x-forwarded-for` may stay.
pub(crate) fn strip_claims(fields: &mut Fields, internal: bool, keep_forwarded_for: bool) {
    let starts = |name: &[u8], part: &[u8]| {
        name.get(..part.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(part))
    };
    let is_claim =
        |name: &[u8]| starts(name, b"x-envoy-") && !internal || starts(name, b"x-forwarded-");
    if !fields.may_have_any(&ENVOYS)
        && !fields.may_have_any(&FORWARDED)
        && !fields.unnumbered().any(is_claim)
    {
        return;
    }
    fields.remove_where(|known, name| match known {
        Name::Other => is_claim(name),
        Name::XForwardedClientCert => false,
        Name::XForwardedFor => !keep_forwarded_for,
        known => ENVOYS.contains(known) && !internal || FORWARDED.contains(known),
    });
}

/// Fields by which trusted clients steer a proxy.
const CONTROLS: NameSet = NameSet::new(&[
    Name::XEnvoyInternal,
    Name::XEnvoyRetriableStatusCodes,
    Name::XEnvoyRetriableHeaderNames,
    Name::XEnvoyRetryOn,
    Name::XEnvoyRetryGrpcOn,
    Name::XEnvoyMaxRetries,
    Name::XEnvoyUpstreamAltStat,
    Name::XEnvoyUpstreamRqTimeoutMs,
    Name::XEnvoyUpstreamRqPerTryTimeoutMs,
    Name::XEnvoyUpstreamRqTimeoutAltResponse,
    Name::XEnvoyExpectedRqTimeoutMs,
    Name::XEnvoyForceTrace,
    Name::XEnvoyIpTags,
    Name::XEnvoyHedgeOnPerTryTimeout,
]);

/// Those that nobody steers it by who comes from outside.
const EDGE_CONTROLS: NameSet = NameSet::new(&[
    Name::XEnvoyDecoratorOperation,
    Name::XEnvoyOriginalHost,
    Name::XEnvoyOriginalPath,
    Name::XEnvoyDownstreamServiceCluster,
    Name::XEnvoyDownstreamServiceNode,
]);

/// Removes the headers by which trusted clients steer a proxy.
///
/// Source: Envoy `ConnectionManagerUtility::mutateRequestHeaders`.
pub(crate) fn strip_controls(fields: &mut Fields, edge: bool) {
    if fields.may_have_any(&CONTROLS) || edge && fields.may_have_any(&EDGE_CONTROLS) {
        fields.remove_where(|name, _| {
            CONTROLS.contains(name) || edge && EDGE_CONTROLS.contains(name)
        });
    }
}

/// Appends to a field that is a list.
pub(crate) fn append_to_list(fields: &mut Fields, name: Name, separator: &str, value: &str) {
    let all = fields
        .joined(name)
        .map(|before| format!("{before}{separator}{value}"));
    fields.set(name, all.as_deref().unwrap_or(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.append(*name, value.as_bytes());
        }
        fields
    }

    #[test]
    fn strip_claims_leaves_the_rest() {
        let came = fields(&[
            ("x-forwarded-for", "1"),
            ("X-Envoy-Retry-On", "5xx"),
            ("x-b", "1"),
        ]);
        for (internal, keep, left) in [
            (false, false, &["x-b"][..]),
            (true, false, &["X-Envoy-Retry-On", "x-b"]),
            (false, true, &["x-forwarded-for", "x-b"]),
        ] {
            let mut got = came.clone();
            strip_claims(&mut got, internal, keep);
            let names: Vec<_> = got.iter().map(|(name, _)| name).collect();
            assert_eq!(
                names,
                left.iter().map(|it| it.as_bytes()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn strip_controls_at_an_edge_removes_more() {
        let came = fields(&[
            ("x-envoy-max-retries", "1"),
            ("x-envoy-decorator-operation", "a"),
            ("x-envoy-original-path", "/"),
            ("x-envoy-attempt-count", "1"),
        ]);
        let mut inside = came.clone();
        strip_controls(&mut inside, false);
        assert_eq!(inside.len(), 3);
        let mut edge = came;
        strip_controls(&mut edge, true);
        assert_eq!(edge, fields(&[("x-envoy-attempt-count", "1")]));
    }

    #[test]
    fn append_to_list_makes_one_field() {
        let mut got = fields(&[("via", "a"), ("via", "b")]);
        append_to_list(&mut got, Name::Via, ", ", "c");
        assert_eq!(got, fields(&[("via", "a,b, c")]));
    }
}
