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
    let keepalive = cluster.http2.keepalive.is_some();
    keepalive.then(|| "http2_protocol_options.connection_keepalive: is not supported".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aviary_mesh::listener::PingKeepalive;

    use super::*;

    #[test]
    fn cluster_with_pings_is_refused_with_its_place() {
        let mut it = Cluster::default();
        assert_eq!(cluster(&it), None);
        it.http2.keepalive = Some(PingKeepalive {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        });
        assert!(
            cluster(&it)
                .unwrap()
                .starts_with("http2_protocol_options.connection_keepalive")
        );
    }
}
