//! Whether everything that static resources name is there.

use aviary_mesh::listener::{ChainAction, RouteSource};
use aviary_mesh::route::RouteAction;
use aviary_mesh::{Discovery, FilterChain, MeshConfig, RouteTable};

use crate::resource::Fault;

/// Without ADS, nothing that is missing now can come later.
pub(super) fn check(config: &MeshConfig) -> Result<(), Fault> {
    for cluster in config.clusters.values() {
        if cluster.discovery == Discovery::Eds {
            return Err(refuse(
                "cluster",
                &cluster.name,
                "type EDS needs `dynamic_resources`",
            ));
        }
    }
    for listener in config.listeners.values() {
        let mut chains = listener.chains.iter().chain(&listener.default_chain);
        if let Some(reason) = chains.find_map(|chain| chain_lacks(config, chain)) {
            return Err(refuse("listener", &listener.name, &reason));
        }
    }
    Ok(())
}

fn refuse(kind: &str, name: &str, reason: &str) -> Fault {
    Fault::new(format!("{kind} `{name}`: {reason}"))
}

fn chain_lacks(config: &MeshConfig, chain: &FilterChain) -> Option<String> {
    match &chain.action {
        ChainAction::Tcp(tcp) => tcp
            .clusters
            .iter()
            .find_map(|branch| cluster_lacks(config, &branch.cluster)),
        ChainAction::Http(http) => match &http.routes {
            RouteSource::Inline(table) => table_lacks(config, table),
            RouteSource::Named(name) => {
                Some(format!("routes `{name}` by RDS need `dynamic_resources`"))
            }
        },
    }
}

fn table_lacks(config: &MeshConfig, table: &RouteTable) -> Option<String> {
    let routes = table.virtual_hosts.iter().flat_map(|host| &host.routes);
    let forwards = routes.filter_map(|route| match &route.action {
        RouteAction::Forward(forward) => Some(forward),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    });
    forwards
        .flat_map(|forward| {
            let branches = forward.clusters.iter().map(|branch| &branch.name);
            branches.chain(forward.mirrors.iter().map(|mirror| &mirror.cluster))
        })
        .find_map(|name| cluster_lacks(config, name))
}

fn cluster_lacks(config: &MeshConfig, name: &str) -> Option<String> {
    (!config.clusters.contains_key(name))
        .then(|| format!("a route names the cluster `{name}`, which is not in `clusters`"))
}
