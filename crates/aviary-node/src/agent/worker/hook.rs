//! Hooks after the start and before the stop of a container, and the requests that probes share with them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use crate::init::client::call;
use crate::init::protocol::{Reply, Request};

/// Where a hook acts.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) container: Container,
    pub(super) address: Ipv4Addr,
    pub(super) socket: PathBuf,
}

/// Runs a hook to its end; the error says what went wrong.
pub(super) async fn run(place: &Place, hook: &LifecycleHandler) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        let argv = action.command.clone().unwrap_or_default();
        return execute(&place.socket, &place.container.name, argv).await;
    }
    if let Some(action) = &hook.http_get {
        return get(action, &place.container, place.address).await;
    }
    if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(
            u64::try_from(action.seconds).unwrap_or_default(),
        ))
        .await;
        return Ok(());
    }
    Err("only exec, httpGet and sleep are served".to_owned())
}

/// Runs a program inside a container; success is exit code 0.
pub(super) async fn execute(
    socket: &Path,
    container: &str,
    argv: Vec<String>,
) -> Result<(), String> {
    let request = Request::Exec {
        container: container.to_owned(),
        argv,
    };
    match call(socket, request, Vec::new()).await {
        Ok(Reply::Exit { code: 0 }) => Ok(()),
        Ok(Reply::Exit { code }) => Err(format!("command exited with {code}")),
        Ok(_) => Err("init gave no exit code".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The number of a port that may be given by its name.
pub(super) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("container {} has no port {port:?}", container.name))
}

/// Opens and closes a connection.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {host}:{port}: {reason}")
    })
}

/// Sends a GET; success is a status from 200 to 399.
pub(super) async fn get(
    action: &HTTPGetAction,
    container: &Container,
    address: Ipv4Addr,
) -> Result<(), String> {
    if action
        .scheme
        .as_deref()
        .is_some_and(|scheme| scheme != "HTTP")
    {
        return Err("only scheme HTTP is served".to_owned());
    }
    let port = port(&action.port, container)?;
    let host = action.host.clone().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| address.to_string());
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let target = format!("{slash}{path}");
    let failed = |message: String| format!("Get \"http://{host}:{port}{target}\": {message}");
    let stream = connect(&host, port).await.map_err(&failed)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut request = http::Request::get(&target)
        .header("host", format!("{host}:{port}"))
        .header("user-agent", "kube-probe/1.36")
        .header("accept", "*/*")
        .header("connection", "close");
    for header in action.http_headers.as_deref().unwrap_or_default() {
        request = request.header(&header.name, &header.value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    let answer = async {
        tokio::pin! {
            let answer = sender.send_request(request);
        }
        tokio::pin!(connection);
        tokio::select! {
            answer = &mut answer => answer,
            result = &mut connection => match result {
                // The connection has ended, so the answer, if any, is there.
                Ok(()) => answer.await,
                Err(error) => Err(error),
            },
        }
    };
    let status = answer
        .await
        .map_err(|error| failed(error.to_string()))?
        .status()
        .as_u16();
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {status}"))
    }
}
