//! Bootstrap files in Envoy's format.

use std::sync::Arc;

use aviary_mesh::listener::RouteSource;
use aviary_mesh::{ChainAction, RouteTable};
use aviary_xds::{Bootstrap, Resource};

/// Reads `data` as a file. Every resource of a file that is taken can go by xDS too.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(bootstrap) = Bootstrap::read(text)
    {
        resources(&bootstrap).iter().for_each(crate::xds::again);
    }
}

/// The resources of a file.
pub fn resources(bootstrap: &Bootstrap) -> Vec<Resource> {
    let config = &bootstrap.config;
    let clusters = config.clusters.values().cloned().map(Resource::Cluster);
    let endpoints = config.endpoints.values().cloned().map(Resource::Endpoints);
    let listeners = config.listeners.values().cloned().map(Resource::Listener);
    let routes = config.routes.values().cloned().map(Resource::Routes);
    clusters
        .chain(endpoints)
        .chain(listeners)
        .chain(routes)
        .collect()
}

/// The route tables of a file, wherever they stand.
pub fn tables(bootstrap: &Bootstrap) -> Vec<Arc<RouteTable>> {
    let config = &bootstrap.config;
    let listeners = config.listeners.values();
    let chains = listeners.flat_map(|it| it.chains.iter().chain(&it.default_chain));
    let inline = chains.filter_map(|chain| match &chain.action {
        ChainAction::Http(http) => match &http.routes {
            RouteSource::Inline(table) => Some(Arc::clone(table)),
            RouteSource::Named(_) => None,
        },
        ChainAction::Tcp(_) => None,
    });
    inline.chain(config.routes.values().cloned()).collect()
}
