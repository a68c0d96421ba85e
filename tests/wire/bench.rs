//! One proxy between raw clients and one server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

/// How soon the proxy must have reacted to what is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A proxy before a server.
pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) origin: Origin,
    /// Where the proxy listens.
    pub(crate) address: SocketAddr,
}

impl Bench {
    /// Before a server that echoes.
    pub(crate) fn start() -> Result<Self> {
        Self::before(Origin::echo()?, |it| it)
    }

    /// Before a server that echoes, for clients of HTTP/1.0, too.
    pub(crate) fn for_old_clients() -> Result<Self> {
        Self::before(Origin::echo()?, |it| {
            it.manager(&json!({"http_protocol_options": {"accept_http_10": true}}))
        })
    }

    /// Before this server, with this said about the listener and the cluster.
    pub(crate) fn before(
        origin: Origin,
        shape: impl FnOnce(Bootstrap) -> Bootstrap,
    ) -> Result<Self> {
        let address = free_address()?;
        let bootstrap = shape(Bootstrap::http(address, &[origin.address()]));
        Ok(Self {
            proxy: Proxy::start(&bootstrap)?,
            origin,
            address,
        })
    }
}

/// So many lines of fields with this value, each with a name of its own.
pub(crate) fn fields(count: usize, value: &str) -> String {
    let line = |number| format!("X-Field-{number}: {value}\r\n");
    (0..count).map(line).collect::<Vec<_>>().concat()
}
