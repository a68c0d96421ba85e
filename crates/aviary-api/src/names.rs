//! How hosts and gateways are named in Istio's objects.

use crate::CLUSTER_DOMAIN;

/// The full name of a host as written in an object of `namespace`.
///
/// A name without a dot is a Service of that namespace; `*`, addresses and everything with a dot
/// stay as they are (lower-cased).
/// Source: Istio `ResolveShortnameToFQDN`.
///
/// ```
/// # use aviary_api::names::expand_host;
/// assert_eq!(expand_host("reviews", "prod"), "reviews.prod.svc.cluster.local");
/// ```
pub fn expand_host(host: &str, namespace: &str) -> String {
    if host.is_empty() || host.contains('.') || host.contains('*') || host.contains(':') {
        return host.to_ascii_lowercase();
    }
    service_host(host, namespace)
}

/// The full name of a Service.
pub fn service_host(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc.{CLUSTER_DOMAIN}").to_ascii_lowercase()
}

/// The short name and namespace of a full Service name, or `None` for other hosts.
pub fn split_service_host(host: &str) -> Option<(&str, &str)> {
    let rest = host.strip_suffix(CLUSTER_DOMAIN)?.strip_suffix(".svc.")?;
    let (service, namespace) = rest.split_once('.')?;
    (!service.is_empty() && !namespace.is_empty() && !namespace.contains('.'))
        .then_some((service, namespace))
}

/// A gateway reference of a `VirtualService` in `namespace` as `<namespace>/<name>`; `mesh` stays.
///
/// Source: Istio `resolveGatewayName`: a bare name is in the same namespace, `./name` too, and of
/// a dotted name the first two labels are name and namespace.
pub fn expand_gateway(gateway: &str, namespace: &str) -> String {
    if gateway == MESH_GATEWAY {
        return gateway.to_owned();
    }
    if let Some(name) = gateway.strip_prefix("./") {
        return format!("{namespace}/{name}");
    }
    if gateway.contains('/') {
        return gateway.to_owned();
    }
    let mut labels = gateway.split('.');
    let name = labels.next().unwrap_or_default();
    let owner = labels.next().unwrap_or(namespace);
    format!("{owner}/{name}")
}

/// The gateway name that means every sidecar.
pub const MESH_GATEWAY: &str = "mesh";

/// Whether `host` is covered by `pattern` (exact, `*` or `*.suffix`); both may be wildcards.
///
/// Source: Istio `host.Name.SubsetOf`.
pub fn host_covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => {
            let name = host.strip_prefix('*').unwrap_or(host);
            if host.starts_with('*') {
                name.ends_with(suffix)
            } else {
                wild(name, suffix)
            }
        }
        None => pattern == host,
    }
}

fn wild(name: &str, suffix: &str) -> bool {
    suffix.is_empty() || (name.len() > suffix.len() && name.ends_with(suffix))
}

/// The narrower of two overlapping hosts, or `None` when they have no host in common.
pub fn host_intersection<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if host_covers(one, other) {
        Some(other)
    } else if host_covers(other, one) {
        Some(one)
    } else {
        None
    }
}

/// How specific a host pattern is: greater wins. Exact hosts beat all wildcards, longer wildcards
/// beat shorter ones.
pub fn host_rank(pattern: &str) -> (bool, usize) {
    (!pattern.starts_with('*'), pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_without_dot_becomes_service_of_own_namespace() {
        assert_eq!(
            expand_host("Reviews", "prod"),
            "reviews.prod.svc.cluster.local"
        );
        assert_eq!(expand_host("reviews.prod", "x"), "reviews.prod");
        assert_eq!(expand_host("*", "x"), "*");
        assert_eq!(expand_host("::1", "x"), "::1");
    }

    #[test]
    fn service_host_splits_back() {
        assert_eq!(
            split_service_host("a.b.svc.cluster.local"),
            Some(("a", "b"))
        );
        assert_eq!(split_service_host("a.b.c.svc.cluster.local"), None);
        assert_eq!(split_service_host("example.com"), None);
    }

    #[test]
    fn gateway_forms_resolve() {
        for (gateway, want) in [
            ("mesh", "mesh"),
            ("gw", "ns/gw"),
            ("./gw", "ns/gw"),
            ("other/gw", "other/gw"),
            ("gw.other.svc.cluster.local", "other/gw"),
        ] {
            assert_eq!(expand_gateway(gateway, "ns"), want);
        }
    }

    #[test]
    fn hosts_intersect_to_the_narrower() {
        assert_eq!(host_intersection("*", "a.com"), Some("a.com"));
        assert_eq!(
            host_intersection("a.foo.com", "*.foo.com"),
            Some("a.foo.com")
        );
        assert_eq!(
            host_intersection("*.foo.com", "*.a.foo.com"),
            Some("*.a.foo.com")
        );
        assert_eq!(host_intersection("*.foo.com", "foo.com"), None);
        assert_eq!(host_intersection("a.com", "b.com"), None);
    }
}
