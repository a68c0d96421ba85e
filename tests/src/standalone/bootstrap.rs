//! Envoy's bootstrap format, from the little that tests say.

use std::net::SocketAddr;

use std::sync::Arc;

use anyhow::Result;
use aviary_mesh::listener::RouteSource;
use aviary_mesh::{ChainAction, MeshConfig};
use serde_json::{Value, json};

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const DOWNSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM_TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// A bootstrap file in the making: HTTP listeners, each with a route to one cluster.
#[derive(Debug, Clone, Default)]
pub struct Bootstrap {
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    addresses: Vec<SocketAddr>,
    control: Option<SocketAddr>,
}

impl Bootstrap {
    /// One listener at `listen` whose requests all go to `endpoints`.
    pub fn http(listen: SocketAddr, endpoints: &[SocketAddr]) -> Self {
        Self::default().and_http(listen, endpoints)
    }

    /// One more listener with a cluster of its own. What is said next concerns this one.
    #[must_use]
    pub fn and_http(mut self, listen: SocketAddr, endpoints: &[SocketAddr]) -> Self {
        let name = format!("up-{}", self.clusters.len());
        self.listeners.push(json!({
            "name": format!("in-{}", self.listeners.len()),
            "address": socket(listen),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": MANAGER,
                    "stat_prefix": "in",
                    "generate_request_id": false,
                    "route_config": {"virtual_hosts": [{
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name}}],
                    }]},
                    "http_filters": [{
                        "name": "envoy.filters.http.router",
                        "typed_config": {"@type": ROUTER, "suppress_envoy_headers": true},
                    }],
                },
            }]}],
        }));
        self.addresses.push(listen);
        self.and_cluster(&name, endpoints)
    }

    /// One more cluster. What is said next concerns this one.
    #[must_use]
    pub fn and_cluster(mut self, name: &str, endpoints: &[SocketAddr]) -> Self {
        let endpoint = |address: &SocketAddr| json!({"endpoint": {"address": socket(*address)}});
        let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
        self.clusters.push(json!({
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": endpoints}],
            },
        }));
        self
    }

    /// Merges into the HTTP connection manager of the latest listener.
    #[must_use]
    pub fn manager(mut self, patch: &Value) -> Self {
        let listener = self.listeners.last_mut();
        merge(
            listener.map(|it| &mut it["filter_chains"][0]["filters"][0]["typed_config"]),
            patch,
        );
        self
    }

    /// Merges into the action of the latest listener's route.
    #[must_use]
    pub fn route(self, patch: &Value) -> Self {
        self.whole_route(&json!({"route": patch}))
    }

    /// The latest listener's route retries as a route of the mesh does: what may have reached a
    /// server is sent again only if that changes nothing.
    #[must_use]
    pub fn with_guarded_retries(self) -> Self {
        self.whole_route(&json!({"metadata": {"typed_filter_metadata": {"aviary": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": "{\"guardedRetry\":true}",
        }}}}))
    }

    fn whole_route(mut self, patch: &Value) -> Self {
        let listener = self.listeners.last_mut();
        merge(
            listener.map(|it| {
                &mut it["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
                    ["virtual_hosts"][0]["routes"][0]
            }),
            patch,
        );
        self
    }

    /// Merges into the latest cluster.
    #[must_use]
    pub fn cluster(mut self, patch: &Value) -> Self {
        merge(self.clusters.last_mut(), patch);
        self
    }

    /// The latest cluster speaks HTTP/2.
    #[must_use]
    pub fn over_http2(self) -> Self {
        self.protocol(&json!({"http2_protocol_options": {}}))
    }

    /// The latest cluster speaks HTTP/1 and takes trailers.
    #[must_use]
    pub fn over_http1_with_trailers(self) -> Self {
        self.protocol(&json!({"http_protocol_options": {"enable_trailers": true}}))
    }

    /// The latest cluster speaks HTTP/1 and keeps a connection so long without a request.
    #[must_use]
    pub fn keeping_idle(self, time: &str) -> Self {
        self.protocol(&json!({"http_protocol_options": {}}))
            .cluster(&json!({"typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "common_http_protocol_options": {"idle_timeout": time},
                },
            }}))
    }

    fn protocol(self, config: &Value) -> Self {
        self.cluster(&json!({"typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": config,
            },
        }}))
    }

    /// The latest listener asks for TLS with this certificate and key (PEM).
    #[must_use]
    pub fn with_tls(mut self, context: &Value) -> Self {
        if let Some(listener) = self.listeners.last_mut() {
            listener["filter_chains"][0]["transport_socket"] = transport(DOWNSTREAM_TLS, context);
        }
        self
    }

    /// The latest cluster is reached by TLS.
    #[must_use]
    pub fn over_tls(mut self, context: &Value) -> Self {
        if let Some(cluster) = self.clusters.last_mut() {
            cluster["transport_socket"] = transport(UPSTREAM_TLS, context);
        }
        self
    }

    /// All of this comes from the control plane there, and not from the file.
    #[must_use]
    pub fn by_ads(mut self, control: SocketAddr) -> Self {
        self.control = Some(control);
        self
    }

    /// What the file says, as the model; the routes are resources of their own.
    ///
    /// # Errors
    /// The file is not understood.
    pub fn mesh(&self) -> Result<MeshConfig> {
        let admin = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut mesh = aviary_xds::Bootstrap::read(&self.text(admin))?.config;
        for listener in mesh.listeners.values_mut() {
            let listener = Arc::make_mut(listener);
            for chain in &mut listener.chains {
                if let ChainAction::Http(http) = &mut chain.action
                    && let RouteSource::Inline(table) = &http.routes
                {
                    let mut table = (**table).clone();
                    table.name.clone_from(&listener.name);
                    http.routes = RouteSource::Named(table.name.clone());
                    mesh.routes.insert(table.name.clone(), Arc::new(table));
                }
            }
        }
        Ok(mesh)
    }

    /// Where its listeners are.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The file.
    pub fn text(&self, admin: SocketAddr) -> String {
        if let Some(control) = self.control {
            return format!("{:#}", dynamic(admin, control));
        }
        let Self {
            listeners,
            clusters,
            ..
        } = self;
        let file = json!({
            "admin": {"address": socket(admin)},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        format!("{file:#}")
    }
}

/// A file that says only where the control plane is.
fn dynamic(admin: SocketAddr, control: SocketAddr) -> Value {
    let ads = json!({"resource_api_version": "V3", "ads": {}});
    let cluster = Bootstrap::default()
        .and_cluster("control", &[control])
        .over_http2();
    json!({
        "admin": {"address": socket(admin)},
        "node": {"id": "sidecar~10.244.0.9~test.default~default.svc.cluster.local", "cluster": "t"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": cluster.clusters},
    })
}

fn transport(kind: &str, context: &Value) -> Value {
    let mut config = json!({"@type": kind});
    merge(Some(&mut config), context);
    json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A merge patch: objects member by member, everything else replaced.
fn merge(into: Option<&mut Value>, patch: &Value) {
    let Some(into) = into else { return };
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(Some(into.entry(name.clone()).or_insert(Value::Null)), value);
            }
        }
        (into, patch) => into.clone_from(patch),
    }
}
