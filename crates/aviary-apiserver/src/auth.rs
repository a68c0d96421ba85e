//! Who asks, and what they may do.

use crate::pki::Tokens;

/// An authenticated (or anonymous) user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// For example `aviary:admin`.
    pub(crate) name: String,
    /// Groups; `system:masters` may do everything.
    pub(crate) groups: Vec<String>,
}

/// What is asked, as far as permission depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub(crate) verb: &'a str,
    /// API group, empty for core.
    pub(crate) group: &'a str,
    /// Plural name.
    pub(crate) resource: &'a str,
    /// `status`, `binding` and so on, or empty.
    pub(crate) subresource: &'a str,
}

impl User {
    /// The administrator; also the identity of the in-process client.
    pub(crate) fn admin() -> Self {
        Self::new("aviary:admin", &["system:masters", "system:authenticated"])
    }

    /// A node agent.
    pub(crate) fn node(name: &str) -> Self {
        Self::new(
            &format!("system:node:{name}"),
            &["system:nodes", "system:authenticated"],
        )
    }

    /// Somebody without credentials.
    pub(crate) fn anonymous() -> Self {
        Self::new("system:anonymous", &["system:unauthenticated"])
    }

    fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(ToString::to_string).collect(),
        }
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether discovery and other paths that are no resources may be read.
    pub(crate) fn may_discover(&self) -> bool {
        self.is_in("system:authenticated")
    }

    /// Whether a resource may be used so.
    pub(crate) fn may(&self, access: Access<'_>) -> bool {
        if self.is_in("system:masters") {
            return true;
        }
        self.is_in("system:nodes") && node_may(access)
    }
}

/// A node agent reads everything, and writes what a node reports.
fn node_may(access: Access<'_>) -> bool {
    if matches!(access.verb, "get" | "list" | "watch") {
        return true;
    }
    let writes = matches!(access.verb, "create" | "update" | "patch");
    match (access.group, access.resource, access.subresource) {
        ("" | "events.k8s.io", "events", "") | ("coordination.k8s.io", "leases", "") => {
            writes || access.verb == "delete"
        }
        ("", "nodes", "" | "status") | ("", "pods", "status") => writes,
        ("", "pods", "") => access.verb == "delete",
        _ => false,
    }
}

/// The user of an `Authorization` header; `None` for credentials that nobody has.
pub(crate) fn authenticate(header: Option<&str>, tokens: &Tokens, node_name: &str) -> Option<User> {
    let Some(header) = header else {
        return Some(User::anonymous());
    };
    let token = header
        .strip_prefix("Bearer ")
        .or_else(|| header.strip_prefix("bearer "))?
        .trim();
    if same(token, &tokens.admin) {
        Some(User::admin())
    } else if same(token, &tokens.node) {
        Some(User::node(node_name))
    } else {
        None
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn same(given: &str, secret: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), secret.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access<'a>(verb: &'a str, resource: &'a str, subresource: &'a str) -> Access<'a> {
        Access {
            verb,
            group: "",
            resource,
            subresource,
        }
    }

    #[test]
    fn authenticate_wrong_token_is_nobody() {
        let tokens = Tokens {
            admin: "a1".into(),
            node: "n1".into(),
        };
        assert_eq!(
            authenticate(Some("Bearer a1"), &tokens, "x"),
            Some(User::admin())
        );
        assert_eq!(
            authenticate(Some("Bearer n1"), &tokens, "x"),
            Some(User::node("x"))
        );
        assert_eq!(authenticate(Some("Bearer a2"), &tokens, "x"), None);
        assert_eq!(authenticate(Some("Basic a1"), &tokens, "x"), None);
        assert_eq!(authenticate(None, &tokens, "x"), Some(User::anonymous()));
    }

    #[test]
    fn node_writes_only_what_it_reports() {
        let node = User::node("x");
        assert!(node.may(access("watch", "secrets", "")));
        assert!(node.may(access("patch", "pods", "status")));
        assert!(node.may(access("delete", "pods", "")));
        assert!(!node.may(access("create", "pods", "")));
        assert!(!node.may(access("update", "services", "")));
        assert!(!User::anonymous().may(access("get", "pods", "")));
    }
}
