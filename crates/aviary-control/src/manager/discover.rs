//! Which kinds the server has.

use std::borrow::Cow;

use aviary_plan::Kind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Client;

/// Kinds that show the objects of another kind again.
const VIEWS: [(&str, &str); 1] = [("events.k8s.io", "Event")];

/// Every kind that can be listed, watched and deleted, in its preferred version.
pub(super) async fn kinds(client: &Client) -> Result<Vec<Kind>, kube::Error> {
    let mut kinds = of_list(&client.list_core_api_resources("v1").await?);
    for group in client.list_api_groups().await?.groups {
        let Some(version) = group
            .preferred_version
            .or_else(|| group.versions.into_iter().next())
        else {
            continue;
        };
        kinds.extend(of_list(
            &client
                .list_api_group_resources(&version.group_version)
                .await?,
        ));
    }
    kinds.retain(|kind| {
        !VIEWS
            .iter()
            .any(|(group, name)| kind.same_kind(group, name))
    });
    Ok(kinds)
}

fn of_list(list: &APIResourceList) -> Vec<Kind> {
    let (group, version) = list
        .group_version
        .split_once('/')
        .unwrap_or(("", list.group_version.as_str()));
    let watched = list
        .resources
        .iter()
        .filter(|resource| is_watchable(resource));
    let kinds = watched.map(|resource| Kind {
        group: Cow::Owned(group.to_owned()),
        version: Cow::Owned(version.to_owned()),
        kind: Cow::Owned(resource.kind.clone()),
        plural: Cow::Owned(resource.name.clone()),
        namespaced: resource.namespaced,
    });
    kinds.collect()
}

fn is_watchable(resource: &APIResource) -> bool {
    let has = |verb: &str| resource.verbs.iter().any(|found| found == verb);
    !resource.name.contains('/') && has("list") && has("watch") && has("delete")
}
