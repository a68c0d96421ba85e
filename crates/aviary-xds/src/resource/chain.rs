//! What a filter chain does: the filters in it.

use std::sync::Arc;

use aviary_mesh::listener::{ChainAction, Direction};
use aviary_mesh::rbac::RbacFilter;
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::google::protobuf::Any;
use serde::{Deserialize, Serialize};

use super::value::{any, unpack};
use super::{Fault, Within, manager, rbac, tcp};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const RBAC: &str = "envoy.filters.network.rbac";

/// What Envoy's filter chain has no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Extra {
    /// When it is not the listener's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<Direction>,
}

pub(super) fn direction_of(action: &ChainAction) -> Direction {
    match action {
        ChainAction::Http(http) => http.direction,
        ChainAction::Tcp(tcp) => tcp.direction,
    }
}

pub(super) fn to_proto(filters: &[Arc<RbacFilter>], action: &ChainAction) -> Vec<Filter> {
    let filter = |name: &str, config| Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    };
    let before = filters
        .iter()
        .map(|it| filter(RBAC, any(&rbac::network(it))));
    let last = match action {
        ChainAction::Http(http) => filter(MANAGER, any(&manager::to_proto(http))),
        ChainAction::Tcp(tcp) => filter(TCP_PROXY, any(&tcp::to_proto(tcp))),
    };
    before.chain([last]).collect()
}

/// The authorisation filters, and what is done in the end.
pub(super) fn from_proto(
    mut filters: Vec<Filter>,
    direction: Direction,
) -> Result<(Vec<Arc<RbacFilter>>, ChainAction), Fault> {
    let Some(last) = filters.pop() else {
        return Err(Fault::new("a filter is missing").at("filters"));
    };
    let count = filters.len();
    let before = super::each("filters", filters, |proto| {
        let (kind, config) = config_of(proto)?;
        match kind.as_str() {
            "envoy.extensions.filters.network.rbac.v3.RBAC" => unpack::<Rbac>(&config)
                .and_then(rbac::network_of)
                .within("typed_config"),
            _ => Err(unknown(&kind, RBAC)),
        }
    })?;
    let action = action_of(last, direction).within(&format!("filters[{count}]"))?;
    Ok((before, action))
}

fn action_of(proto: Filter, direction: Direction) -> Result<ChainAction, Fault> {
    let (kind, config) = config_of(proto)?;
    match kind.rsplit('.').next() {
        Some("HttpConnectionManager") => {
            manager::from_proto(&config, direction).map(ChainAction::Http)
        }
        Some("TcpProxy") => tcp::from_proto(&config, direction).map(ChainAction::Tcp),
        _ => return Err(unknown(&kind, &format!("{MANAGER} or {TCP_PROXY}"))),
    }
    .within("typed_config")
}

fn unknown(kind: &str, known: &str) -> Fault {
    Fault::new(format!(
        "filter `{kind}` is not supported here; use {known}"
    ))
    .at("typed_config")
}

/// The message type of a filter, and its configuration.
fn config_of(proto: Filter) -> Result<(String, Any), Fault> {
    match proto.config_type {
        Some(filter::ConfigType::TypedConfig(config)) => {
            let kind = config.type_url.rsplit('/').next().unwrap_or_default();
            Ok((kind.to_owned(), config))
        }
        _ => Err(Fault::new("a configuration in place is missing").at("typed_config")),
    }
}
