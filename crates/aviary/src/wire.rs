//! Where the parts meet: the mesh's admission rules at the API server, and the objects that every
//! installation has.

use anyhow::{Context, Result};
use aviary_apiserver::{Admission, AdmissionRequest, Denial, DenialCause, Operation};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use serde_json::Value;

/// The namespace of the mesh's own workloads.
pub(crate) const MESH_NAMESPACE: &str = aviary_api::ROOT_NAMESPACE;
/// The ingress gateway's Deployment and Service.
pub(crate) const GATEWAY_NAME: &str = "istio-ingressgateway";

/// Injects sidecars and refuses Istio objects that would not be honoured.
pub(crate) struct MeshAdmission;

impl Admission for MeshAdmission {
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) {
        if request.group.is_empty()
            && request.kind == "Pod"
            && request.operation == Operation::Create
            && request.subresource.is_none()
        {
            let namespace = (request.get)("/namespaces", "", request.namespace);
            let labels = namespace
                .as_deref()
                .and_then(|n| n.pointer("/metadata/labels"));
            let labels = labels.unwrap_or(&Value::Null);
            aviary_api::inject::inject(
                object,
                request.namespace,
                labels,
                env!("CARGO_PKG_VERSION"),
            );
        }
    }

    fn validate(
        &self,
        request: &AdmissionRequest<'_>,
        object: &Value,
        _old: Option<&Value>,
    ) -> Result<Vec<String>, Denial> {
        if !aviary_api::validate::judges(request.group, request.kind)
            || request.subresource.is_some()
            || request.operation == Operation::Delete
        {
            return Ok(Vec::new());
        }
        let causes: Vec<DenialCause> = aviary_api::validate(request.kind, object)
            .into_iter()
            .map(|finding| DenialCause {
                reason: "FieldValueInvalid".to_owned(),
                message: finding.message,
                field: finding.path,
            })
            .collect();
        if causes.is_empty() {
            Ok(Vec::new())
        } else {
            Err(Denial { causes })
        }
    }
}

/// Makes the mesh's kinds, its namespace and its ingress gateway where they are missing.
///
/// Kinds follow this program's version; everything else belongs to the user once it is there.
pub(crate) async fn install(client: &kube::Client) -> Result<()> {
    for definition in aviary_api::crd::all() {
        apply(client, serde_json::from_value(definition)?).await?;
    }
    for object in aviary_api::platform::objects(env!("CARGO_PKG_VERSION")) {
        create_if_missing(client, serde_json::from_value(object)?).await?;
    }
    Ok(())
}

/// The objects of a YAML file.
pub(crate) fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    serde_saphyr::from_multiple::<Value>(yaml)?
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| Ok(serde_json::from_value(document)?))
        .collect()
}

/// Creates `object` unless one of that name is there; a namespace is `default` if it says none.
pub(crate) async fn create_if_missing(client: &kube::Client, object: DynamicObject) -> Result<()> {
    let (api, what) = api_for(client, &object)?;
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot create the {what}")),
    }
}

async fn apply(client: &kube::Client, object: DynamicObject) -> Result<()> {
    let (api, what) = api_for(client, &object)?;
    let name = object.metadata.name.clone().unwrap_or_default();
    api.patch(
        &name,
        &PatchParams::apply("aviary").force(),
        &Patch::Apply(&object),
    )
    .await
    .with_context(|| format!("cannot apply the {what}"))?;
    Ok(())
}

fn api_for(client: &kube::Client, object: &DynamicObject) -> Result<(Api<DynamicObject>, String)> {
    let types = object.types.clone().context("an object without kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let resource = ApiResource::from_gvk(&kind);
    let what = format!(
        "{} {}",
        types.kind,
        object.metadata.name.as_deref().unwrap_or("?")
    );
    let cluster_wide = matches!(
        types.kind.as_str(),
        "Namespace" | "CustomResourceDefinition"
    );
    let api = if cluster_wide {
        Api::all_with(client.clone(), &resource)
    } else {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    Ok((api, what))
}
