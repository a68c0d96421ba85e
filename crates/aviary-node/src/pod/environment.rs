//! A container's environment: expansion, fields of the pod, Services of the namespace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Pod, Service};

/// Expands `$(NAME)` by what was defined before; `$$` is a dollar; an unknown name stays as it is.
///
/// Source: Kubernetes, "dependent environment variables" (`third_party/forked/golang/expansion`).
pub(crate) fn expand(text: &str, known: &[(String, String)]) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            // The last definition of a name wins.
            match known.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => result.push_str(value),
                None => result.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

/// What a `fieldRef` may need beside the pod itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) address: Ipv4Addr,
    pub(crate) host_address: Ipv4Addr,
    pub(crate) node_name: &'a str,
}

/// The value of a `fieldRef`; `None` for a field that does not exist.
///
/// Source: Kubernetes, downward API.
pub(crate) fn field(pod: &Pod, path: &str, place: Place<'_>) -> Option<String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return None,
        };
        return Some(
            map.and_then(|map| map.get(key))
                .cloned()
                .unwrap_or_default(),
        );
    }
    let account = || {
        pod.spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.clone())
    };
    Some(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => place.node_name.to_owned(),
        "spec.serviceAccountName" => account().unwrap_or_else(|| "default".to_owned()),
        "status.podIP" | "status.podIPs" => place.address.to_string(),
        "status.hostIP" | "status.hostIPs" => place.host_address.to_string(),
        _ => return None,
    })
}

fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// A map as a downward API volume shows it: `key="value"` by line.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter()
        .flatten()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Variables for every Service of the pod's namespace, and for the API server's.
///
/// Source: Kubernetes, "environment variables" of Services.
pub(crate) fn service_links<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    namespace: &str,
    all: bool,
) -> Vec<(String, String)> {
    let mut links = BTreeMap::new();
    for service in services {
        let meta = &service.metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        let of_api = name == "kubernetes" && meta.namespace.as_deref() == Some("default");
        if of_api || (all && meta.namespace.as_deref() == Some(namespace)) {
            links_of(service, name, &mut links);
        }
    }
    links.into_iter().collect()
}

fn links_of(service: &Service, name: &str, links: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let address = match spec.cluster_ip.as_deref() {
        None | Some("" | "None") => return,
        Some(address) => address,
    };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let prefix = variable(name);
    let mut put = |name: String, value: String| links.insert(name, value);
    put(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    put(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    let url = |protocol: &str, port: i32| format!("{}://{address}:{port}", protocol.to_lowercase());
    let protocol = first.protocol.as_deref().unwrap_or("TCP");
    put(format!("{prefix}_PORT"), url(protocol, first.port));
    for port in ports {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if let Some(name) = &port.name {
            put(
                format!("{prefix}_SERVICE_PORT_{}", variable(name)),
                port.port.to_string(),
            );
        }
        let base = format!("{prefix}_PORT_{}_{protocol}", port.port);
        put(base.clone(), url(protocol, port.port));
        put(format!("{base}_PROTO"), protocol.to_lowercase());
        put(format!("{base}_PORT"), port.port.to_string());
        put(format!("{base}_ADDR"), address.to_owned());
    }
}

fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests;
