//! The layer table: which crate may see which.
//!
//! A crate depends only on lower layers; siblings of the shell layer never see each other, but all
//! may use `aviary-telemetry`. ARCHITECTURE.md gives the reasons.

/// Crates of the workspace by layer, lowest first.
const LAYERS: [(&str, u8); 19] = [
    ("aviary-api", 0),
    ("aviary-mesh", 1),
    ("aviary-http", 1),
    ("aviary-kinds", 1),
    ("aviary-xds", 2),
    ("aviary-translate", 2),
    ("aviary-plan", 2),
    ("aviary-telemetry", 3),
    ("aviary-apiserver", 4),
    ("aviary-node", 4),
    ("aviary-proxy", 4),
    ("aviary-control", 4),
    ("aviary", 5),
    ("bookinfo", 6),
    ("micro-api", 6),
    ("aviary-fuzz", 6),
    ("aviary-tests", 6),
    ("bench-load", 6),
    ("xtask", 6),
];

/// Crates that decide and never act.
pub(crate) const PURE: [&str; 7] = [
    "aviary-api",
    "aviary-kinds",
    "aviary-mesh",
    "aviary-http",
    "aviary-xds",
    "aviary-translate",
    "aviary-plan",
];

/// Crates of others that no pure crate may list.
pub(crate) const IMPURE_DEPENDENCIES: [&str; 9] = [
    "tokio",
    "tokio-util",
    "hyper",
    "hyper-util",
    "nix",
    "libc",
    "socket2",
    "redb",
    "parking_lot",
];

/// Who else may see whom, though the layers are equal.
const SIBLINGS: [(&str, &str); 0] = [];

/// The layer of a crate, or `None` when the table does not know it.
pub(crate) fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(crate_name, _)| *crate_name == name)
        .map(|(_, layer)| *layer)
}

/// Why `from` may not depend on `to`; `None` when it may.
pub(crate) fn objection(from: &str, to: &str) -> Option<String> {
    let to_layer = layer(to)?;
    let Some(from_layer) = layer(from) else {
        return Some(format!(
            "{from} is not in the layer table of xtask/src/layers.rs"
        ));
    };
    if to_layer < from_layer && to_layer < 5 || SIBLINGS.contains(&(from, to)) {
        return None;
    }
    Some(format!(
        "{from} (layer {from_layer}) must not depend on {to} (layer {to_layer}): dependencies go strictly downwards"
    ))
}

#[cfg(test)]
mod tests {
    use super::objection;

    #[test]
    fn objection_is_raised_upwards_and_between_siblings() {
        assert_eq!(objection("aviary-proxy", "aviary-mesh"), None);
        assert_eq!(objection("aviary-proxy", "aviary-telemetry"), None);
        assert!(objection("aviary-proxy", "aviary-control").is_some());
        assert!(objection("aviary-mesh", "aviary-translate").is_some());
        assert!(objection("newcomer", "aviary-mesh").is_some());
        assert_eq!(objection("aviary-mesh", "serde"), None);
    }
}
