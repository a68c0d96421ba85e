//! The control process: API server, controllers, mesh control plane.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::cli::ControlArgs;
use crate::home::{Home, write_private};
use crate::{ports, wire};

/// Serves until the supervisor is gone or asks to end.
pub(crate) fn run(home: &Home, args: &ControlArgs) -> Result<ExitCode> {
    super::start_logging();
    let listener = ports::inherited(args.api_fd)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve(home, listener))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(home: &Home, listener: std::net::TcpListener) -> Result<()> {
    let cancel = super::end_with_supervisor();
    let address = listener.local_addr()?;
    let mut config = aviary_apiserver::Config::at(home.path());
    config.admission = vec![Arc::new(wire::MeshAdmission)];
    let server = Arc::new(aviary_apiserver::Server::open(config).await?);
    let client = kube::Client::new(server.client_service(), "default");
    wire::install(&client).await?;
    // Last, because whoever waits for the server waits for this file too.
    write_private(
        &home.kubeconfig(),
        server.kubeconfig(&format!("https://{address}")).as_bytes(),
    )?;

    let mut tasks = tokio::task::JoinSet::new();
    let (tls, unix, compaction) = (server.clone(), server.clone(), server);
    let (stop, socket) = (cancel.clone(), home.join("run/api.sock"));
    tasks.spawn(async move { anyhow::Ok(tls.serve_tls(listener, stop).await?) });
    let stop = cancel.clone();
    tasks.spawn(async move { anyhow::Ok(unix.serve_unix(&socket, stop).await?) });
    let stop = cancel.clone();
    tasks.spawn(async move {
        compaction.run_compaction(stop).await;
        Ok(())
    });
    let mesh = aviary_control::Config {
        client,
        xds_socket: home.join("run/xds.sock"),
        xds_key: read_key(home)?,
    };
    let stop = cancel.clone();
    tasks.spawn(async move { anyhow::Ok(aviary_control::run(mesh, stop).await?) });
    // The first that ends ends all: the supervisor starts the whole again.
    let first = tasks.join_next().await.context("nothing was started")?;
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    first?
}

/// The key of the proxies' tokens, made by the supervisor.
fn read_key(home: &Home) -> Result<[u8; 32]> {
    let path = home.join("pki/xds.key");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let bytes: Option<Vec<u8>> = (0..text.trim().len() / 2)
        .map(|i| {
            text.get(2 * i..2 * i + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("`{}` is damaged: remove it and start again", path.display()))
}
