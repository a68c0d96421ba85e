//! What is wrong with objects, whatever proxy they are for.

use aviary_api::names;

use crate::{
    Diagnostic, ObjectKey, Severity, Snapshot,
    diagnostic::{DUPLICATE_HOST, UNKNOWN_GATEWAY, UNKNOWN_HOST, UNKNOWN_SUBSET},
    live::Missing,
    overlay,
};

/// All remarks on the objects of a settled snapshot, in a stable order.
pub fn analyze(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (key, live) in &snapshot.live {
        found.extend(live.missing.iter().map(|missing| unknown(key, missing)));
    }
    for (key, entry) in &snapshot.virtual_services {
        for (i, gateway) in entry.spec.gateways.iter().enumerate() {
            found.extend(unknown_gateway(snapshot, key, gateway, i));
        }
        for (i, host) in entry.spec.hosts.iter().enumerate() {
            found.extend(duplicate(snapshot, key, host, i));
        }
    }
    found.extend(overlay::analyze(snapshot));
    found
}

fn remark(code: &'static str, key: &ObjectKey, path: String, message: String) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        kind: "VirtualService",
        object: key.clone(),
        path,
        message,
    }
}

fn unknown(key: &ObjectKey, missing: &Missing) -> Diagnostic {
    let host = &missing.host;
    match &missing.subset {
        Some(subset) => remark(
            UNKNOWN_SUBSET,
            key,
            format!("{}.subset", missing.path),
            format!(
                "subset `{subset}` of `{host}` is not declared; add it to a DestinationRule of that host"
            ),
        ),
        None => remark(
            UNKNOWN_HOST,
            key,
            format!("{}.host", missing.path),
            format!("there is no Service `{host}`; create it or correct the host"),
        ),
    }
}

fn unknown_gateway(
    snapshot: &Snapshot,
    key: &ObjectKey,
    gateway: &str,
    index: usize,
) -> Option<Diagnostic> {
    let name = names::expand_gateway(gateway, &key.namespace);
    let (namespace, short) = name.split_once('/')?;
    if snapshot
        .gateways
        .contains_key(&ObjectKey::new(namespace, short))
    {
        return None;
    }
    let message = format!("there is no Gateway `{name}`; create it or correct the name");
    Some(remark(
        UNKNOWN_GATEWAY,
        key,
        format!("spec.gateways[{index}]"),
        message,
    ))
}

fn duplicate(snapshot: &Snapshot, key: &ObjectKey, host: &str, index: usize) -> Option<Diagnostic> {
    let host = names::expand_host(host, &key.namespace);
    let owner = snapshot.mesh_holder(&host)?;
    if owner == key || !snapshot.names_mesh_host(key, &host) {
        return None;
    }
    let message = format!(
        "`{host}` is routed in the mesh by the older VirtualService `{owner}`; merge the two"
    );
    Some(Diagnostic {
        severity: Severity::Warning,
        ..remark(DUPLICATE_HOST, key, format!("spec.hosts[{index}]"), message)
    })
}
