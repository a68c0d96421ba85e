//! The node alone, for trying the sandbox, pods and network by hand; `node H` needs an API server at `H/run/api.sock`.
//!
//! `pods sandbox H`, `pods pod-init SPEC`, `pods exec H -- CMD…` and `pods in H NAMESPACE POD -- CMD…` are the entry
//! points of the crate as the binary wires them. `reply WORD PORT…` and `ask HOST PORT COUNT` are programs for pods.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Answers every connection to one of `ports` with `word`; `-` stands for the host name.
fn reply(word: &str, ports: &[&str]) -> Result<i32, Failure> {
    let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let word = if word == "-" { name } else { word.to_owned() };
    let mut threads = Vec::new();
    for port in ports {
        let listener = TcpListener::bind(("0.0.0.0", port.parse()?))?;
        let word = word.clone();
        threads.push(std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(word.as_bytes());
            }
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
    Ok(0)
}

/// Connects `count` times and prints each answer on a line.
fn ask(host: &str, port: &str, count: &str) -> Result<i32, Failure> {
    for _ in 0..count.parse()? {
        let mut text = String::new();
        TcpStream::connect((host, port.parse()?))?.read_to_string(&mut text)?;
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(0)
}

type Failure = Box<dyn std::error::Error>;

fn node(home: &Path) -> Result<i32, Failure> {
    if let aviary_node::Entered::Ended(code) = aviary_node::enter(home)? {
        return Ok(code);
    }
    let program = std::env::current_exe()?;
    let programs = program.parent().unwrap_or(home).to_path_buf();
    let program = program.display().to_string();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let config = aviary_node::Config {
                client: connect(home)?,
                home: home.to_path_buf(),
                node_name: "aviary".to_owned(),
                pod_init: vec![program.clone(), "pod-init".to_owned()],
                proxy: [program.as_str(), "reply", "sidecar", "15001", "15006"]
                    .map(str::to_owned)
                    .into(),
                programs,
                listen_fds: Vec::new(),
            };
            aviary_node::run(config, CancellationToken::new()).await?;
            Ok(0)
        })
}

fn connect(home: &Path) -> Result<kube::Client, Failure> {
    let tokens: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.join("pki/tokens.json"))?)?;
    let bearer = format!("Bearer {}", tokens["node"].as_str().unwrap_or_default());
    let client = Client::builder(TokioExecutor::new()).build(Connector(home.join("run/api.sock")));
    let service = client.map_request(move |mut request: http::Request<kube::client::Body>| {
        if let Ok(bearer) = bearer.parse() {
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, bearer);
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        if let Ok(uri) = format!("http://api.local{path}").parse() {
            *request.uri_mut() = uri;
        }
        request
    });
    Ok(kube::Client::new(service, "default"))
}

#[derive(Clone)]
struct Connector(PathBuf);

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(UnixStream::connect(path).await?)) })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result: Result<i32, Box<dyn std::error::Error>> = match texts.as_slice() {
        ["sandbox", home] => aviary_node::sandbox_main(Path::new(home))
            .map(|()| 0)
            .map_err(Into::into),
        ["pod-init", spec] => aviary_node::pod_init_main(Path::new(spec))
            .map(|()| 0)
            .map_err(Into::into),
        ["exec", home, "--", ..] => {
            let argv = arguments.get(3..).unwrap_or_default();
            aviary_node::exec_in_node(Path::new(home), argv).map_err(Into::into)
        }
        ["in", home, namespace, pod, "--", ..] => {
            let argv = arguments.get(5..).unwrap_or_default();
            aviary_node::exec_in_pod(Path::new(home), namespace, pod, None, argv)
                .map_err(Into::into)
        }
        ["node", home] => node(Path::new(home)),
        ["reply", word, ports @ ..] => reply(word, ports),
        ["ask", host, port, count] => ask(host, port, count),
        _ => Err(
            "usage: pods sandbox H | node H | pod-init SPEC | exec H -- CMD | in H NS POD -- CMD"
                .into(),
        ),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
