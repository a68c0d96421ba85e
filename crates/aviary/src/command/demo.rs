//! Bookinfo on the mesh, and what is said when things are ready.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::home::{Home, write_private};
use crate::output::{self, Phase, paint};
use crate::wire;

const BOOKINFO: &str = include_str!("../../demo/bookinfo.yaml");
const GATEWAY: &str = include_str!("../../demo/bookinfo-gateway.yaml");
const DESTINATION_RULES: &str = include_str!("../../demo/destination-rule-all.yaml");
/// Files for the commands that `demo` proposes, written to `samples/` of the state folder.
const SAMPLES: [(&str, &str); 3] = [
    (
        "reviews-90-10.yaml",
        include_str!("../../demo/reviews-90-10.yaml"),
    ),
    (
        "reviews-jason-v2.yaml",
        include_str!("../../demo/reviews-jason-v2.yaml"),
    ),
    (
        "reviews-v3.yaml",
        include_str!("../../demo/reviews-v3.yaml"),
    ),
];
/// Longest wait for Bookinfo.
const PATIENCE: Duration = Duration::from_secs(90);

/// Makes what is missing of Bookinfo, waits for its pods and for the first page.
pub(crate) async fn deploy(client: &kube::Client, gateway: &str) -> Result<()> {
    let phase = Phase::begin("Bookinfo");
    Api::<Namespace>::all(client.clone())
        .patch(
            "default",
            &PatchParams::default(),
            &Patch::Merge(json!({ "metadata": { "labels": { "istio-injection": "enabled" } } })),
        )
        .await
        .context("cannot turn on injection for the namespace default")?;
    for file in [DESTINATION_RULES, BOOKINFO, GATEWAY] {
        for object in wire::documents(file)? {
            wire::create_if_missing(client, object).await?;
        }
    }
    let names: Vec<String> = wire::documents(BOOKINFO)?
        .into_iter()
        .filter(|object| {
            object
                .types
                .as_ref()
                .is_some_and(|t| t.kind == "Deployment")
        })
        .filter_map(|object: DynamicObject| object.metadata.name)
        .collect();
    let deployments = Api::<Deployment>::namespaced(client.clone(), "default");
    let waited = tokio::time::timeout(PATIENCE, async {
        available(&deployments, &names, &phase).await?;
        phase.progress("waiting for the first page");
        first_page(&format!("{gateway}/productpage")).await
    });
    match waited.await {
        Ok(done) => done?,
        Err(_) => bail!(
            "Bookinfo was not ready within {} s; see `kubectl get pods` and `kubectl describe pods`",
            PATIENCE.as_secs()
        ),
    }
    phase.done(&format!("{gateway}/productpage"));
    Ok(())
}

/// Says where to look and what to try.
pub(crate) fn announce(home: &Home, gateway: &str) {
    let samples = home.join("samples");
    let _ = std::fs::create_dir_all(&samples);
    for (name, text) in SAMPLES {
        if let Err(error) = write_private(&samples.join(name), text.as_bytes()) {
            output::error(&error);
        }
    }
    output::note(&format!(
        "\n  Open    {}\n\n  In another terminal:\n    export KUBECONFIG={}\n    kubectl get pods\n    \
         kubectl apply -f {samples}/reviews-90-10.yaml     # 10 % of the readers see black stars\n    \
         kubectl apply -f {samples}/reviews-v3.yaml        # all see red stars\n",
        paint(&format!("{gateway}/productpage"), "1;4"),
        home.kubeconfig().display(),
        samples = samples.display(),
    ));
}

/// Says what to do with an empty mesh.
pub(crate) fn announce_empty(home: &Home) {
    output::note(&format!(
        "\n  In another terminal:\n    export KUBECONFIG={}\n    kubectl label namespace default istio-injection=enabled\n    \
         kubectl apply -f YOUR-APPLICATION.yaml      # or `aviary demo` for Bookinfo\n    aviary status\n",
        home.kubeconfig().display(),
    ));
}

/// Waits until the node says that it is ready.
pub(crate) async fn node_ready(client: &kube::Client) -> Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    kube::runtime::wait::await_condition(nodes, "aviary", |node: Option<&Node>| {
        node.and_then(|node| node.status.as_ref()?.conditions.as_ref())
            .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    })
    .await?;
    Ok(())
}

/// Waits until the ingress gateway serves.
pub(crate) async fn gateway_ready(client: &kube::Client, phase: &Phase) -> Result<()> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), wire::MESH_NAMESPACE);
    available(&deployments, &[wire::GATEWAY_NAME.to_owned()], phase).await
}

/// Waits until each of the deployments has all its replicas available.
async fn available(deployments: &Api<Deployment>, names: &[String], phase: &Phase) -> Result<()> {
    let mut ready = std::collections::BTreeSet::new();
    loop {
        let list = deployments.list(&ListParams::default()).await?;
        let mut version = list.metadata.resource_version.unwrap_or_default();
        for deployment in list.items {
            note_availability(&mut ready, &deployment, names);
        }
        'watch: while ready.len() < names.len() {
            phase.progress(&format!("{} of {} ready", ready.len(), names.len()));
            let mut events =
                std::pin::pin!(deployments.watch(&WatchParams::default(), &version).await?);
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(deployment) | WatchEvent::Modified(deployment) => {
                        note_availability(&mut ready, &deployment, names);
                        version = deployment.metadata.resource_version.unwrap_or(version);
                    }
                    WatchEvent::Error(_) => break 'watch,
                    _ => {}
                }
                if ready.len() == names.len() {
                    return Ok(());
                }
                phase.progress(&format!("{} of {} ready", ready.len(), names.len()));
            }
        }
        if ready.len() == names.len() {
            return Ok(());
        }
    }
}

fn note_availability(
    ready: &mut std::collections::BTreeSet<String>,
    deployment: &Deployment,
    names: &[String],
) {
    let Some(name) = deployment
        .metadata
        .name
        .as_ref()
        .filter(|name| names.contains(name))
    else {
        return;
    };
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation == deployment.metadata.generation
        && status.available_replicas.unwrap_or(0) >= wanted
    {
        ready.insert(name.clone());
    } else {
        ready.remove(name);
    }
}

/// Asks for `url` until it answers 200.
async fn first_page(url: &str) -> Result<()> {
    let http: HttpClient<_, Empty<bytes::Bytes>> =
        HttpClient::builder(TokioExecutor::new()).build_http();
    loop {
        if let Ok(reply) = http.get(url.parse()?).await
            && reply.status().is_success()
            && reply.into_body().collect().await.is_ok()
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
