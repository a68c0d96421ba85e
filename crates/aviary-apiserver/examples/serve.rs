//! Serves an API server in a folder, for trying kubectl by hand: `serve [HOME]`.
//!
//! Without a folder a fresh temporary one is used. Prints the path of the kubeconfig.

use std::{net::TcpListener, path::PathBuf};

use aviary_apiserver::{Config, Server};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::print_stdout,
    reason = "a program that talks to the person who started it"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = std::env::args().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("aviary-serve-{}", std::process::id())),
        PathBuf::from,
    );
    std::fs::create_dir_all(home.join("run"))?;
    let server = Server::open(Config::at(&home)).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://{}", listener.local_addr()?);
    let kubeconfig = home.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig(&url))?;
    println!("export KUBECONFIG={}", kubeconfig.display());
    let cancel = CancellationToken::new();
    let socket = home.join("run/api.sock");
    tokio::select! {
        served = server.serve_tls(listener, cancel.clone()) => served?,
        served = server.serve_unix(&socket, cancel.clone()) => served?,
        () = server.run_compaction(cancel.clone()) => {}
    }
    Ok(())
}
