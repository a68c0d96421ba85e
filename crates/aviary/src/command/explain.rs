//! Where a request goes and why, by the proxy's own rules over the proxy's own configuration.

mod head;
mod report;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use aviary_mesh::compiled::Config;
use aviary_mesh::filters;
use aviary_mesh::listener::{ChainAction, HttpChain, Listener};
use aviary_mesh::resolve::{self, Connection, Head as _};
use aviary_mesh::{MeshConfig, endpoint};
use aviary_proxy::{Canonical, canonical};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::page::Proxy;
use super::proxy_config::{Dump, rows};
use crate::cli::{DataFormat, ExplainArgs};
use crate::client::{self, Identity};
use crate::home::Home;
use crate::output;
use head::Asked;
use report::Report;

/// Stands for a destination that no service is known for (RFC 5737).
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Prints what becomes of a request.
pub(crate) fn run(home: &Home, args: &ExplainArgs) -> Result<ExitCode> {
    let asked = Asked::new(&args.method, &args.url, &args.headers)?;
    let (config, live) = match (&args.config, &args.from) {
        (Some(file), _) => (from_file(file)?, String::new()),
        (None, from) => {
            let proxy = Proxy::named(&from.proxy())?;
            let dump = Dump::read(&proxy.page(home, "/config_dump")?)?;
            (dump.config, proxy.page(home, "/clusters")?)
        }
    };
    let destination = match (asked.address(), &args.from.pod) {
        (Some(address), _) => address,
        (None, Some(pod)) => service_address(home, pod, &args.from.namespace, asked.host())?,
        (None, None) => UNKNOWN,
    };
    let report = explain(config, &asked, destination, args.listener.as_deref(), &live)?;
    match args.output {
        DataFormat::Table => output::data(&report.text()),
        DataFormat::Json => output::data(&serde_json::to_string_pretty(&report)?),
        DataFormat::Yaml => output::data(serde_saphyr::to_string(&report)?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn from_file(file: &Path) -> Result<MeshConfig> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    let bootstrap = aviary_proxy::Bootstrap::read(&text)
        .map_err(|error| anyhow!("{}: {error}", file.display()))?;
    Ok(bootstrap.config)
}

/// The address that a pod's lookup of `host` gives: that of a Service.
fn service_address(home: &Home, pod: &str, namespace: &str, host: &str) -> Result<IpAddr> {
    let own = pod
        .split_once('.')
        .map_or(namespace, |(_, namespace)| namespace);
    let mut parts = host.split('.');
    let name = parts.next().unwrap_or_default().to_owned();
    let namespace = parts.next().unwrap_or(own).to_owned();
    let found = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let services: Api<Service> =
                Api::namespaced(client::connect(home, Identity::Admin)?, &namespace);
            services.get_opt(&name).await.map_err(anyhow::Error::from)
        })?;
    let address = found.and_then(|service| service.spec?.cluster_ip);
    Ok(address
        .and_then(|address| address.parse().ok())
        .unwrap_or(UNKNOWN))
}

fn explain(
    mesh: MeshConfig,
    asked: &Asked,
    destination: IpAddr,
    listener: Option<&str>,
    live: &str,
) -> Result<Report> {
    let mesh = Arc::new(mesh);
    let config = Config::new(Arc::clone(&mesh), None);
    let bound = bound(&mesh, listener, asked.port())?;
    let destination = if bound.use_original_dst {
        SocketAddr::new(destination, asked.port())
    } else {
        bound.address
    };
    let tls = asked.is_tls();
    let connection = Connection {
        destination: Some(destination),
        server_name: tls.then(|| asked.host()),
        transport_protocol: if tls { "tls" } else { "raw_buffer" },
        application_protocols: &["http/1.1".to_owned()],
        source: None,
    };
    let (choice, reasons) = resolve::explain_chain(&config, bound, &connection);
    let mut report = Report::new(asked, reasons);
    let Some(choice) = choice else {
        report.ends("the connection is closed");
        return Ok(report);
    };
    match &choice.chain.action {
        ChainAction::Tcp(_) => {
            report.ends("the bytes go on as they are: this is no HTTP to the proxy");
        }
        ChainAction::Http(chain) => {
            match canonical(chain, destination.port(), asked.path(), asked.authority()) {
                Canonical::Seen { path, authority } => {
                    let asked = asked.seen_as(path, authority);
                    report.seen(&asked);
                    request(&config, chain, &asked, live, &mut report);
                }
                Canonical::Redirect(path) => report.ends(&format!("redirected (307) to {path}")),
                Canonical::Refused => report.ends("answered with 400 (no such path)"),
            }
        }
    }
    Ok(report)
}

fn request(config: &Config, chain: &HttpChain, asked: &Asked, live: &str, report: &mut Report) {
    let Some(table) = config.table(chain) else {
        report.ends("its routes are not there: 404");
        return;
    };
    // The draw that is shown stands for one request; all branches are told with their shares.
    let mut rng = SmallRng::seed_from_u64(0);
    let (decision, reasons) = resolve::explain(table, asked, &mut rng);
    report.reasons.extend(reasons);
    report.passes(&filters::pass(&chain.filters, &decision, asked, &mut rng));
    let health = rows::health(live);
    report.decided(&decision, |cluster| {
        let Some(known) = config.mesh().clusters.get(cluster) else {
            return Vec::new();
        };
        let endpoints = rows::endpoints_of(config.mesh(), known).iter();
        endpoints
            .map(|endpoint| {
                let status = health.get(&(cluster.to_owned(), endpoint.address));
                let status = status
                    .cloned()
                    .unwrap_or_else(|| configured(endpoint.health));
                (endpoint.address.to_string(), status)
            })
            .collect()
    });
}

fn configured(health: endpoint::Health) -> String {
    match health {
        endpoint::Health::Healthy => "healthy",
        endpoint::Health::Draining => "draining",
        endpoint::Health::Unhealthy => "unhealthy",
    }
    .to_owned()
}

/// The listener that takes the connection: the one that was named, the one for what a workload
/// sends, the one of the port, or the only one.
fn bound<'a>(mesh: &'a MeshConfig, name: Option<&str>, port: u16) -> Result<&'a Listener> {
    if let Some(name) = name {
        return mesh
            .listeners
            .get(name)
            .map(|listener| &**listener)
            .with_context(|| format!("the proxy has no listener `{name}`"));
    }
    let all = || {
        mesh.listeners
            .values()
            .map(|it| &**it)
            .filter(|it| it.bind_to_port)
    };
    let of_port = || all().find(|listener| listener.address.port() == port);
    let only = || all().next().filter(|_| all().count() == 1);
    let found = all()
        .find(|it| it.use_original_dst)
        .or_else(of_port)
        .or_else(only);
    let Some(found) = found else {
        let names: Vec<_> = all()
            .map(|it| format!("{} ({})", it.name, it.address))
            .collect();
        bail!(
            "no listener takes port {port}; name one with `--listener`: {}",
            names.join(", ")
        );
    };
    Ok(found)
}

#[cfg(test)]
mod tests;
