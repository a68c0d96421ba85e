//! Where dynamic resources come from.

use std::path::PathBuf;

use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::DynamicResources;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::config::core::v3::api_config_source::ApiType;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, ConfigSource, GrpcService,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;

use crate::resource::{Fault, nothing_left};

/// The one stream that brings all dynamic resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ads {
    /// Name of the static cluster that stands for the server.
    pub cluster: String,
    /// Where the server is.
    pub server: Server,
    /// Sent with each stream: names and values.
    pub metadata: Vec<(String, String)>,
}

/// Where an ADS server is reached, in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// On a unix socket.
    Unix(PathBuf),
    /// By address or name, and port.
    Tcp(String, u16),
}

/// Takes the server's cluster out of `clusters` when it is a unix socket: traffic has none.
pub(super) fn of(proto: &DynamicResources, clusters: &mut Vec<Cluster>) -> Result<Ads, Fault> {
    let rest = DynamicResources {
        ads_config: None,
        cds_config: None,
        lds_config: None,
        ..proto.clone()
    };
    nothing_left(&rest)?;
    for (field, source) in [
        ("cds_config", &proto.cds_config),
        ("lds_config", &proto.lds_config),
    ] {
        source_of(source.as_ref()).map_err(|fault| fault.at(field))?;
    }
    let config = proto.ads_config.as_ref().ok_or_else(|| {
        Fault::new("is missing: dynamic resources come by ADS only").at("ads_config")
    })?;
    let (cluster, metadata) = stream_of(config).map_err(|fault| fault.at("ads_config"))?;
    let index = clusters
        .iter()
        .position(|it| it.name == cluster)
        .ok_or_else(|| {
            let reason = format!("`{cluster}` is none of static_resources.clusters");
            Fault::new(reason).at("ads_config.grpc_services[0].envoy_grpc.cluster_name")
        })?;
    let server = server_of(&clusters[index])
        .map_err(|reason| Fault::new(format!("cluster `{cluster}`: {reason}")).at("ads_config"))?;
    if matches!(server, Server::Unix(_)) {
        clusters.remove(index);
    }
    Ok(Ads {
        cluster,
        server,
        metadata,
    })
}

/// Both are there or the stream brings nothing; everything must come by it.
fn source_of(source: Option<&ConfigSource>) -> Result<(), Fault> {
    match source.map(|source| &source.config_source_specifier) {
        Some(Some(ConfigSourceSpecifier::Ads(_))) => Ok(()),
        _ => Err(Fault::new(
            "write `{ads: {}}`: dynamic resources come by ADS only",
        )),
    }
}

fn stream_of(config: &ApiConfigSource) -> Result<(String, Vec<(String, String)>), Fault> {
    if config.api_type != i32::from(ApiType::DeltaGrpc) {
        return Err(Fault::new("write `DELTA_GRPC`: no other form is supported").at("api_type"));
    }
    let rest = ApiConfigSource {
        grpc_services: Vec::new(),
        api_type: 0,
        transport_api_version: 0,
        set_node_on_first_message_only: false,
        ..config.clone()
    };
    nothing_left(&rest)?;
    if config.transport_api_version != i32::from(ApiVersion::V3) {
        return Err(Fault::new("write `V3`").at("transport_api_version"));
    }
    let [service] = config.grpc_services.as_slice() else {
        return Err(Fault::new("exactly one is needed").at("grpc_services"));
    };
    service_of(service).map_err(|fault| fault.at("grpc_services[0]"))
}

fn service_of(service: &GrpcService) -> Result<(String, Vec<(String, String)>), Fault> {
    let Some(TargetSpecifier::EnvoyGrpc(grpc)) = &service.target_specifier else {
        return Err(Fault::new("`envoy_grpc` is needed"));
    };
    let rest = GrpcService {
        target_specifier: None,
        initial_metadata: Vec::new(),
        timeout: None,
        ..service.clone()
    };
    nothing_left(&rest)?;
    let rest = EnvoyGrpc {
        cluster_name: String::new(),
        ..grpc.clone()
    };
    nothing_left(&rest).map_err(|fault| fault.at("envoy_grpc"))?;
    let metadata = service.initial_metadata.iter();
    let metadata = metadata
        .map(|it| (it.key.clone(), it.value.clone()))
        .collect();
    Ok((grpc.cluster_name.clone(), metadata))
}

fn server_of(cluster: &Cluster) -> Result<Server, String> {
    if cluster.transport_socket.is_some() {
        return Err(
            "TLS to the ADS server is not supported; use a unix socket or loopback".to_owned(),
        );
    }
    let mut endpoints = cluster
        .load_assignment
        .iter()
        .flat_map(|assignment| &assignment.endpoints)
        .flat_map(|locality| &locality.lb_endpoints);
    let (Some(only), None) = (endpoints.next(), endpoints.next()) else {
        return Err("one endpoint in `load_assignment` is needed".to_owned());
    };
    let address = match &only.host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint.address.as_ref(),
        _ => None,
    };
    match address.and_then(|address| address.address.as_ref()) {
        Some(Address::Pipe(pipe)) => Ok(Server::Unix(PathBuf::from(&pipe.path))),
        Some(Address::SocketAddress(address)) => match address.port_specifier {
            Some(PortSpecifier::PortValue(port)) => u16::try_from(port)
                .map(|port| Server::Tcp(address.address.clone(), port))
                .map_err(|_| format!("{port} is not a port")),
            _ => Err("a port number is needed".to_owned()),
        },
        _ => Err("a socket address or a pipe is needed".to_owned()),
    }
}
