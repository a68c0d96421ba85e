//! What the model can say but this proxy does not do is refused, not ignored.

use aviary_mesh::{ChainAction, Cluster, Listener};

use crate::record;

/// Why a listener cannot be served as it says, with the place in it.
pub(crate) fn listener(listener: &Listener) -> Option<String> {
    if listener.keepalive.is_some() {
        return Some("tcp_keepalive: is not supported for listeners".to_owned());
    }
    let chains = listener.chains.iter().chain(&listener.default_chain);
    let mut ignored = chains.filter_map(|chain| {
        let place = match &chain.action {
            ChainAction::Tcp(tcp) if tcp.max_duration.is_some() => {
                "tcp_proxy.max_downstream_connection_duration"
            }
            ChainAction::Tcp(tcp) if tcp.connect_attempts > 1 => "tcp_proxy.max_connect_attempts",
            ChainAction::Http(http) if http.http2.keepalive.is_some() => {
                "http2_protocol_options.connection_keepalive"
            }
            _ => return None,
        };
        Some(format!(
            "filter chain `{}`: {place}: is not supported",
            chain.name
        ))
    });
    ignored.next().or_else(|| record::problem(listener))
}

/// Why a cluster cannot be served as it says, with the place in it.
pub(crate) fn cluster(cluster: &Cluster) -> Option<String> {
    let place = if cluster.max_connection_duration.is_some() {
        "common_http_protocol_options.max_connection_duration"
    } else if cluster.http2.keepalive.is_some() {
        "http2_protocol_options.connection_keepalive"
    } else {
        return None;
    };
    Some(format!("{place}: is not supported"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cluster_with_an_age_limit_of_connections_is_refused_with_its_place() {
        let mut it = Cluster::default();
        assert_eq!(cluster(&it), None);
        it.max_connection_duration = Some(Duration::from_secs(1));
        assert!(
            cluster(&it)
                .unwrap()
                .starts_with("common_http_protocol_options.max")
        );
    }
}
