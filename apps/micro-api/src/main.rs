//! The micro-api sample application of the rolling-update tutorial.
//!
//! One route, `GET /test/test`; the image's tag decides what it says, so that a client can tell
//! the versions apart. `?delay=MS` (at most 60,000) makes it slow, to fill connection pools.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Longest delay that a client may ask for.
const DELAY_MAX_MS: u64 = 60_000;
/// How long open requests may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(25);

/// The micro-api sample application.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Tag of the image that this process stands for; `1.3-SNAPSHOT` is the new version.
    #[arg(long, default_value = "1.0-SNAPSHOT")]
    image_tag: String,
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 9090)]
    port: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, args.port))).await?;
    #[expect(clippy::print_stdout, reason = "the application's log")]
    {
        println!("micro-api started on port {}", args.port);
        println!("micro-api image=micro-api:{}", args.image_tag);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let tag = args.image_tag.clone();
                let service = service_fn(move |request| {
                    let tag = tag.clone();
                    async move { Ok::<_, Infallible>(answer(&request, &tag).await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // A client that goes away is no concern of the server's.
                    let _ = watched.await;
                });
            }
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    Ok(())
}

async fn answer(request: &Request<Incoming>, tag: &str) -> Response<Full<Bytes>> {
    if request.uri().path() != "/test/test" || request.method() != Method::GET {
        return json(
            StatusCode::NOT_FOUND,
            r#"{"code":404,"data":null,"message":"not found"}"#.to_owned(),
        );
    }
    if let Some(delay) = delay(request.uri().query()) {
        tokio::time::sleep(delay).await;
    }
    json(StatusCode::OK, body(tag))
}

/// What the version with this image tag says.
fn body(tag: &str) -> String {
    let mark = if tag.starts_with("1.3") { "V3|" } else { "" };
    format!(
        r#"{{"code":0,"data":"{mark}Independent test interface return->OK!","message":"success"}}"#
    )
}

/// The wait asked for in the query, bounded.
fn delay(query: Option<&str>) -> Option<Duration> {
    let value = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("delay="))?;
    Some(Duration::from_millis(
        value.parse::<u64>().ok()?.min(DELAY_MAX_MS),
    ))
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{body, delay};

    #[test]
    fn body_of_the_new_tag_is_marked() {
        assert_eq!(
            body("1.3-SNAPSHOT"),
            r#"{"code":0,"data":"V3|Independent test interface return->OK!","message":"success"}"#
        );
        assert_eq!(
            body("1.0-SNAPSHOT"),
            r#"{"code":0,"data":"Independent test interface return->OK!","message":"success"}"#
        );
    }

    #[test]
    fn delay_is_bounded_and_optional() {
        assert_eq!(delay(Some("a=1&delay=20")), Some(Duration::from_millis(20)));
        assert_eq!(delay(Some("delay=99999999")), Some(Duration::from_mins(1)));
        assert_eq!(delay(Some("delay=x")), None);
        assert_eq!(delay(None), None);
    }
}
