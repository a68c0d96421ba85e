//! The objects that every installation has.

use aviary_kinds::Status;
use serde_json::json;

use crate::{
    api::{self, Api},
    builtin,
    http::now,
    store::Key,
};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Stores what is missing of them.
pub(crate) async fn ensure(api: &Api) -> Result<(), Status> {
    let snapshot = api.store.snapshot();
    let now = now();
    let mut mutations = Vec::new();
    for name in NAMESPACES {
        if snapshot.get(&Key::new("/namespaces", "", name)).is_some() {
            continue;
        }
        let mut namespace = builtin::object("v1", "Namespace", "", name, now);
        namespace["metadata"]["labels"] = json!({ "kubernetes.io/metadata.name": name });
        namespace["spec"] = json!({ "finalizers": ["kubernetes"] });
        namespace["status"] = json!({ "phase": "Active" });
        mutations.push(builtin::create("/namespaces", "", name, namespace));
        mutations.extend(builtin::namespace_content(&api.ca_pem, name, now));
    }
    if snapshot
        .get(&Key::new("/services", "default", "kubernetes"))
        .is_none()
    {
        let address = api.config.service_address(1).to_string();
        let mut service = builtin::object("v1", "Service", "default", "kubernetes", now);
        service["metadata"]["labels"] =
            json!({ "component": "apiserver", "provider": "kubernetes" });
        service["spec"] = json!({
            "clusterIP": address,
            "clusterIPs": [address],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443 }],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        });
        service["status"] = json!({ "loadBalancer": {} });
        mutations.push(builtin::create(
            "/services",
            "default",
            "kubernetes",
            service,
        ));
    }
    if mutations.is_empty() {
        return Ok(());
    }
    let stored = api.store.commit(mutations).await;
    stored
        .map(|_| ())
        .map_err(|error| api::store_status(&error))
}
