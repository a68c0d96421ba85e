//! Sidecar to sidecar and gateway to sidecar: one proxy beside the caller or at the edge, one beside the
//! server, and what passes between them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use aviary_tests::certificates::Authority;
use aviary_tests::origin::Origin;
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use serde_json::json;

use super::{Server, finish, grpc, program, websocket};

/// The host that callers of a gateway ask for.
pub(super) const HOST: &str = "a.test";

/// Two proxies in a row before `server`.
pub(super) struct Chain {
    /// Beside the caller or at the edge, then beside the server.
    pub(super) proxies: [Proxy; 2],
    /// Where callers go.
    pub(super) address: SocketAddr,
    authority: Authority,
    edge: bool,
}

/// What a hop speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    Http1,
    Http2,
}

/// What stands before the proxy beside the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A sidecar, in plain text on all ways.
    Plain,
    /// A sidecar, with mutual TLS between the two.
    Sidecar,
    /// A gateway that ends its callers' TLS, with mutual TLS between the two.
    Gateway,
}

impl Chain {
    /// With these protocols between the proxies and to the server.
    pub(super) fn start(first: First, between: Hop, last: Hop, server: SocketAddr) -> Result<Self> {
        let authority = Authority::new()?;
        let (outer, inner) = (free_address()?, free_address()?);
        let proxy = |listen, endpoint, hop| {
            let bootstrap = Bootstrap::http(listen, &[endpoint])
                // Many handshakes at once on a loaded machine take their time.
                .cluster(&json!({"connect_timeout": "10s"}))
                .manager(&json!({"upgrade_configs": [{"upgrade_type": "websocket"}]}))
                .route(&json!({"timeout": "0s"}));
            match hop {
                Hop::Http1 => bootstrap,
                Hop::Http2 => bootstrap.over_http2(),
            }
        };
        let mut inner_file = proxy(inner, server, last);
        let mut outer_file = proxy(outer, inner, between);
        if first != First::Plain {
            let protocols: &[&str] = match between {
                Hop::Http1 => &["http/1.1"],
                Hop::Http2 => &["h2"],
            };
            inner_file = inner_file.with_tls(&json!({
                "require_client_certificate": true,
                "common_tls_context": authority.mesh("server", protocols)?,
            }));
            outer_file = outer_file.over_tls(&json!({
                "common_tls_context": authority.mesh("caller", protocols)?,
            }));
        }
        if first == First::Gateway {
            outer_file = outer_file
                .manager(&json!({"use_remote_address": true}))
                .with_tls(&json!({"common_tls_context": {
                    "tls_certificates": [authority.certificate(HOST)?],
                    "alpn_protocols": ["h2", "http/1.1"],
                }}));
        }
        let inner_proxy = Proxy::start(&inner_file)?;
        let outer_proxy = Proxy::start(&outer_file)?;
        Ok(Self {
            proxies: [outer_proxy, inner_proxy],
            address: outer,
            authority,
            edge: first == First::Gateway,
        })
    }

    /// The certificate that callers trust; `None` when they speak plain text.
    pub(super) fn trusted(&self) -> Option<&Path> {
        self.edge.then_some(self.authority.file().as_path())
    }

    /// Runs curl for this path, with whatever it needs to get to the first proxy.
    pub(super) fn curl(&self, http2: bool, path: &str, args: &[&str]) -> Result<String> {
        let mut command = program("curl");
        command.args(["-sS", "--fail", "--max-time", "240"]);
        match (http2, self.trusted()) {
            (false, _) => command.arg("--http1.1"),
            (true, None) => command.arg("--http2-prior-knowledge"),
            (true, Some(_)) => command.arg("--http2"),
        };
        let url = if let Some(file) = self.trusted() {
            let (ip, port) = (self.address.ip(), self.address.port());
            command.arg("--cacert").arg(file);
            command.arg("--connect-to").arg(format!("::{ip}:{port}"));
            format!("https://{HOST}/{path}")
        } else {
            format!("http://{}/{path}", self.address)
        };
        command.args(args).arg(url);
        finish(command)
    }
}

fn grpc_passes(first: First) -> Result<()> {
    let server = free_address()?;
    let _server = Server::start(grpc("serve", server, None)?)?;
    let chain = Chain::start(first, Hop::Http2, Hop::Http2, server)?;
    let said = finish(grpc("check", chain.address, chain.trusted())?)?;
    assert_eq!(said.lines().count(), 10, "{said}");
    Ok(())
}

#[test]
fn grpc_of_every_kind_passes_two_sidecars() -> Result<()> {
    grpc_passes(First::Sidecar)
}

#[test]
fn grpc_of_every_kind_passes_a_gateway() -> Result<()> {
    grpc_passes(First::Gateway)
}

fn websocket_passes(first: First) -> Result<()> {
    let server = free_address()?;
    let _server = Server::start(websocket("serve", server, None)?)?;
    let chain = Chain::start(first, Hop::Http1, Hop::Http1, server)?;
    let said = finish(websocket("check", chain.address, chain.trusted())?)?;
    assert_eq!(said.lines().count(), 7, "{said}");
    Ok(())
}

#[test]
fn websocket_of_every_kind_passes_two_sidecars() -> Result<()> {
    websocket_passes(First::Sidecar)
}

#[test]
fn websocket_of_every_kind_passes_a_gateway() -> Result<()> {
    websocket_passes(First::Gateway)
}

/// curl by either protocol, over hops of either protocol.
#[test]
fn curl_passes_over_every_mix_of_protocols() -> Result<()> {
    let origin = Origin::echo()?;
    for (first, between) in [
        (First::Plain, Hop::Http1),
        (First::Plain, Hop::Http2),
        (First::Sidecar, Hop::Http1),
        (First::Sidecar, Hop::Http2),
        (First::Gateway, Hop::Http1),
        (First::Gateway, Hop::Http2),
    ] {
        let chain = Chain::start(first, between, Hop::Http1, origin.address())?;
        for http2 in [false, true] {
            let curl = |args: &[&str]| chain.curl(http2, "", args);
            let mix = format!("HTTP/2 {http2}, {first:?}, {between:?}");
            assert_eq!(curl(&[])?, "ok", "{mix}");
            assert_eq!(curl(&["-d", "a body"])?, "a body", "{mix}");
            if !http2 {
                let chunked = curl(&["-H", "transfer-encoding: chunked", "-d", "in chunks"])?;
                assert_eq!(chunked, "in chunks", "{mix}");
            }
            let expecting = curl(&["-H", "expect: 100-continue", "-d", "expected"])?;
            assert_eq!(expecting, "expected", "{mix}");
            let head = curl(&["-I"])?;
            assert!(head.contains(" 200"), "{mix}: {head}");
        }
    }
    Ok(())
}
