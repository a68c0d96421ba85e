//! What a path names.

use super::query::decode;

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz` and below.
    Health,
    /// `/api`
    Core,
    /// `/apis`
    Groups,
    /// `/apis/<group>`
    Group(String),
    /// `/api/v1`, `/apis/<group>/<version>`
    Resources {
        /// Empty for core.
        group: String,
        /// As in the path.
        version: String,
    },
    /// `/openapi/v2`
    OldOpenApi,
    /// `/openapi/v3`
    OpenApi,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/<group>/<version>`
    Document {
        /// Empty for core.
        group: String,
        /// As in the path.
        version: String,
    },
    /// Objects.
    Resource(Path),
    /// Nothing that is served.
    Unknown,
}

/// A path among the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// Empty for core.
    pub(crate) group: String,
    pub(crate) version: String,
    /// `None` for cluster-scoped kinds and for lists over all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// The old `/watch/` form.
    pub(crate) watch: bool,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Self {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["version"] => Self::Version,
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["api"] => Self::Core,
            ["apis"] => Self::Groups,
            ["api", version] => Self::resources("", version),
            ["apis", group] => Self::Group((*group).to_owned()),
            ["apis", group, version] => Self::resources(group, version),
            ["openapi", "v2"] => Self::OldOpenApi,
            ["openapi", "v3"] => Self::OpenApi,
            ["openapi", "v3", "api", version] => Self::document("", version),
            ["openapi", "v3", "apis", group, version] => Self::document(group, version),
            ["api", version, rest @ ..] => objects("", version, rest),
            ["apis", group, version, rest @ ..] => objects(group, version, rest),
            _ => Self::Unknown,
        }
    }

    fn resources(group: &str, version: &str) -> Self {
        Self::Resources {
            group: group.to_owned(),
            version: version.to_owned(),
        }
    }

    fn document(group: &str, version: &str) -> Self {
        Self::Document {
            group: group.to_owned(),
            version: version.to_owned(),
        }
    }
}

fn objects(group: &str, version: &str, parts: &[&str]) -> Target {
    let (watch, parts) = match parts {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let path = |namespace: Option<&str>, plural: &str, name: Option<&str>, sub: &[&str]| {
        Target::Resource(Path {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            plural: plural.to_owned(),
            name: name.map(str::to_owned),
            subresource: sub.join("/"),
            watch,
        })
    };
    match parts {
        // A namespace's own subresources look like a resource in it.
        ["namespaces", name, sub @ ("status" | "finalize")] => {
            path(None, "namespaces", Some(name), &[sub])
        }
        ["namespaces", namespace, plural] => path(Some(namespace), plural, None, &[]),
        ["namespaces", namespace, plural, name, sub @ ..] => {
            path(Some(namespace), plural, Some(name), sub)
        }
        [plural] => path(None, plural, None, &[]),
        [plural, name, sub @ ..] => path(None, plural, Some(name), sub),
        [] => Target::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> Path {
        match Target::parse(path) {
            Target::Resource(path) => path,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn parse_namespace_status_is_a_subresource_of_the_namespace() {
        let path = resource("/api/v1/namespaces/a/status");
        assert_eq!(
            (path.plural.as_str(), path.name.as_deref()),
            ("namespaces", Some("a"))
        );
        assert_eq!(
            (path.namespace, path.subresource.as_str()),
            (None, "status")
        );
    }

    #[test]
    fn parse_namespaced_object_with_subresource_is_split() {
        let path = resource("/apis/apps/v1/namespaces/a/deployments/b/scale");
        assert_eq!(path.group, "apps");
        assert_eq!(path.namespace.as_deref(), Some("a"));
        assert_eq!(path.plural, "deployments");
        assert_eq!(path.name.as_deref(), Some("b"));
        assert_eq!(path.subresource, "scale");
    }

    #[test]
    fn parse_watch_prefix_is_a_watch() {
        let path = resource("/api/v1/watch/namespaces/a/pods/b");
        assert!(path.watch);
        assert_eq!(path.name.as_deref(), Some("b"));
    }

    #[test]
    fn parse_other_paths_are_unknown() {
        assert_eq!(Target::parse("/metrics"), Target::Unknown);
        assert_eq!(Target::parse("/openapi/v1"), Target::Unknown);
        assert_eq!(
            Target::parse("/apis/apps/v1"),
            Target::resources("apps", "v1")
        );
    }
}
