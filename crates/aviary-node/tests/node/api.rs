//! A stand-in for the API server: lists and watches what the test puts in, notes what the agent writes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

type Body = BoxBody<Bytes, Infallible>;

/// Pod statuses by pod name.
pub(crate) type Statuses = BTreeMap<String, Value>;

#[derive(Default)]
struct Collection {
    objects: Vec<Value>,
    watchers: Vec<mpsc::UnboundedSender<Bytes>>,
}

/// Objects by the last part of their list's path.
pub(crate) struct Api {
    collections: Mutex<BTreeMap<String, Collection>>,
    statuses: watch::Sender<Statuses>,
}

impl Api {
    /// Serves on `socket` until the test's runtime ends.
    pub(crate) fn serve(socket: &Path) -> Arc<Self> {
        let this = Arc::new(Self {
            collections: Mutex::default(),
            statuses: watch::channel(Statuses::new()).0,
        });
        let listener = UnixListener::bind(socket).unwrap();
        let api = Arc::clone(&this);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = Arc::clone(&api);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let api = Arc::clone(&api);
                        async move { Ok::<_, Infallible>(api.answer(request).await) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        this
    }

    /// Adds an object and tells the watchers.
    pub(crate) fn add(&self, list: &str, object: Value) {
        let mut collections = self.collections.lock();
        let collection = collections.entry(list.to_owned()).or_default();
        let line = format!("{}\n", json!({"type": "ADDED", "object": object}));
        collection
            .watchers
            .retain(|watcher| watcher.send(Bytes::from(line.clone())).is_ok());
        collection.objects.push(object);
    }

    pub(crate) fn statuses(&self) -> Statuses {
        self.statuses.borrow().clone()
    }

    pub(crate) fn forget_statuses(&self) {
        self.statuses.send_replace(Statuses::new());
    }

    /// Waits until the statuses are as asked.
    pub(crate) async fn wait(&self, done: impl FnMut(&Statuses) -> bool) -> Statuses {
        self.statuses
            .subscribe()
            .wait_for(done)
            .await
            .unwrap()
            .clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        if parts.method == Method::GET {
            return if parts.uri.query().unwrap_or_default().contains("watch=true") {
                self.watch(&last)
            } else {
                self.list(&path, &last)
            };
        }
        let body = body.collect().await.unwrap().to_bytes();
        let mut value: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({}));
        if let Some(name) = path
            .strip_suffix("/status")
            .and_then(|path| path.split("/pods/").nth(1))
        {
            let status = value["status"].clone();
            self.statuses.send_modify(|statuses| {
                statuses.insert(name.to_owned(), status);
            });
            value = json!({"metadata": {"name": name}});
        }
        reply(&value)
    }

    fn list(&self, path: &str, last: &str) -> Response<Body> {
        if path.contains("/nodes/") {
            return reply(&json!({"metadata": {"name": last}}));
        }
        let collections = self.collections.lock();
        let items = collections
            .get(last)
            .map(|collection| collection.objects.clone());
        reply(&json!({"metadata": {"resourceVersion": "1"}, "items": items.unwrap_or_default()}))
    }

    fn watch(&self, last: &str) -> Response<Body> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.collections
            .lock()
            .entry(last.to_owned())
            .or_default()
            .watchers
            .push(sender);
        let lines = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|line| (line, receiver))
        });
        let frames = lines.map(|line| Ok(Frame::data(line)));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }
}

fn reply(value: &Value) -> Response<Body> {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed())
}
