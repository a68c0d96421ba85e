//! Watches: a stream of JSON events, one a line.

use std::{io, sync::Arc, time::Duration};

use aviary_kinds::{Status, table};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Call,
    accept::Shape,
    read, reply,
    reply::{Reply, converted, metadata_only},
    select::Selection,
};
use crate::{
    api::{self, Api},
    store::{Change, Event, Object, Snapshot, Watcher},
};

/// Time between bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);
/// Lines that may wait for a slow client; then the watch stops reading the history.
const LINES: usize = 64;

/// What one watch needs to know of its request.
struct Watch {
    call: Arc<Call>,
    selection: Selection,
    include: table::IncludeObject,
    bookmarks: bool,
    initial_events: bool,
    columns_sent: bool,
    deadline: Instant,
}

/// The states that a watch begins with, and the changes after them.
struct Begin {
    snapshot: Option<Snapshot>,
    watcher: Watcher,
}

/// Starts a watch; the answer's body is the stream.
pub(crate) fn answer(api: &Arc<Api>, call: &Call) -> Result<Reply, Status> {
    let selection = Selection::parse(&call.query, &call.kind, call.path.name.as_deref())?;
    let initial_events = call.query.flag("sendInitialEvents");
    check_options(call, initial_events)?;
    let include = reply::include(&call.query)?;
    let seconds = call
        .query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .unwrap_or_else(|| 1800 + rand::random_range(0..1800));
    let watch = Watch {
        call: Arc::new(call.for_watch()),
        selection,
        include,
        bookmarks: call.query.flag("allowWatchBookmarks"),
        initial_events,
        columns_sent: false,
        deadline: Instant::now() + Duration::from_secs(seconds.min(86_400 * 365)),
    };
    let begin = match begin(api, call, initial_events) {
        Ok(begin) => begin,
        // The client learns it inside the stream: the request itself was fine.
        Err(status) if status.code == 410 => return Ok(one_event(&error_event(&status))),
        Err(status) => return Err(status),
    };
    let (lines, receiver) = mpsc::channel(LINES);
    tokio::spawn(watch.run(begin, lines));
    let frames = ReceiverStream::new(receiver).map(|line| Ok::<_, io::Error>(Frame::data(line)));
    Ok(Reply::Response(stream(
        StreamBody::new(frames).boxed_unsync(),
    )))
}

fn check_options(call: &Call, initial_events: bool) -> Result<(), Status> {
    let how = call.query.get("resourceVersionMatch");
    if initial_events && how != "NotOlderThan" {
        return Err(Status::unprocessable(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
             resourceVersionMatch to NotOlderThan",
        ));
    }
    if !how.is_empty() && call.query.get("sendInitialEvents").is_empty() {
        return Err(Status::unprocessable(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
             sendInitialEvents is provided",
        ));
    }
    Ok(())
}

fn begin(api: &Api, call: &Call, initial_events: bool) -> Result<Begin, Status> {
    let resource = api::resource(&call.kind);
    let namespace = call.path.namespace.as_deref();
    let given = call.query.revision("resourceVersion")?.unwrap_or(0);
    if given > 0 && !initial_events {
        let watcher = api.store.watch(&resource, namespace, given);
        let watcher = watcher.map_err(|error| read::history(&error))?;
        return Ok(Begin {
            snapshot: None,
            watcher,
        });
    }
    read::reached(api, given)?;
    let snapshot = api.store.snapshot();
    let watcher = api.store.watch(&resource, namespace, snapshot.revision);
    let watcher = watcher.map_err(|error| read::history(&error))?;
    let silent = call.query.get("sendInitialEvents") == "false";
    Ok(Begin {
        snapshot: (!silent).then_some(snapshot),
        watcher,
    })
}

impl Watch {
    /// Writes lines until the client goes, the time is over or the history is lost.
    async fn run(mut self, begin: Begin, lines: mpsc::Sender<Bytes>) {
        let Begin {
            snapshot,
            mut watcher,
        } = begin;
        if let Some(snapshot) = snapshot
            && self.initial(&snapshot, &lines).await.is_none()
        {
            return;
        }
        let mut bookmark = Instant::now() + BOOKMARK;
        loop {
            let events = tokio::select! {
                events = watcher.next() => events,
                () = sleep_until(bookmark), if self.bookmarks => {
                    bookmark = Instant::now() + BOOKMARK;
                    if lines.send(self.bookmark(watcher.revision(), false)).await.is_err() {
                        return;
                    }
                    continue;
                }
                () = sleep_until(self.deadline) => {
                    if self.bookmarks {
                        // The client may be gone as well; there is nothing left to do then.
                        let _ = lines.send(self.bookmark(watcher.revision(), false)).await;
                    }
                    return;
                }
                () = lines.closed() => return,
            };
            let events = match events {
                Ok(events) => events,
                Err(error) => {
                    let _ = lines.send(line(&error_event(&read::history(&error)))).await;
                    return;
                }
            };
            for event in events {
                if let Some(line) = self.event(&event)
                    && lines.send(line).await.is_err()
                {
                    return;
                }
            }
        }
    }

    /// Sends the state as ADDED events; `None` when the client is gone.
    async fn initial(&mut self, snapshot: &Snapshot, lines: &mpsc::Sender<Bytes>) -> Option<()> {
        let resource = api::resource(&self.call.kind);
        let namespace = self.call.path.namespace.clone();
        for object in snapshot.list(&resource, namespace.as_deref(), None) {
            if self.selected(object) {
                let line = self.line_of("ADDED", object);
                lines.send(line).await.ok()?;
            }
        }
        if self.initial_events && self.bookmarks {
            let line = self.bookmark(snapshot.revision, true);
            lines.send(line).await.ok()?;
        }
        Some(())
    }

    fn selected(&self, object: &Object) -> bool {
        self.selection.is_empty()
            || self
                .selection
                .matches(&self.call.kind, &converted(&self.call, &object.value))
    }

    /// The line of a change, as far as the selection sees it.
    fn event(&mut self, event: &Event) -> Option<Bytes> {
        let now = self.selected(&event.object);
        let before = match (&event.previous, event.change) {
            (Some(previous), _) => self.selected(previous),
            (None, Change::Created) => false,
            // What it was is forgotten: say what is true for clients that knew it.
            (None, _) => true,
        };
        match (event.change, before, now) {
            (Change::Deleted, true, _) | (Change::Deleted, _, true) => {
                Some(self.line_of("DELETED", &event.object))
            }
            (Change::Created, _, true) | (Change::Updated, false, true) => {
                Some(self.line_of("ADDED", &event.object))
            }
            (Change::Updated, true, true) => Some(self.line_of("MODIFIED", &event.object)),
            (Change::Updated, true, false) => {
                let last = event.previous.as_ref().unwrap_or(&event.object);
                let mut value = (*last.value).clone();
                value["metadata"]["resourceVersion"] =
                    Value::String(event.object.modified.to_string());
                Some(self.line_of_value("DELETED", &Arc::new(value)))
            }
            _ => None,
        }
    }

    fn line_of(&mut self, change: &str, object: &Object) -> Bytes {
        let plain = self.call.shape == Shape::Plain
            && api::text(&object.value, &["apiVersion"]) == self.call.kind.api_version();
        if plain {
            let mut text = Vec::with_capacity(object.json.len() + 40);
            text.extend_from_slice(b"{\"type\":\"");
            text.extend_from_slice(change.as_bytes());
            text.extend_from_slice(b"\",\"object\":");
            text.extend_from_slice(&object.json);
            text.extend_from_slice(b"}\n");
            return text.into();
        }
        self.line_of_value(change, &object.value)
    }

    fn line_of_value(&mut self, change: &str, value: &Arc<Value>) -> Bytes {
        let shown = converted(&self.call, value);
        let object = match self.call.shape {
            Shape::Table => self.table(
                Some(&shown),
                api::text(&shown, &["metadata", "resourceVersion"]),
            ),
            Shape::Metadata => metadata_only(&shown, "PartialObjectMetadata"),
            Shape::Plain | Shape::Discovery | Shape::Yaml => (*shown).clone(),
        };
        line(&json!({ "type": change, "object": object }))
    }

    fn table(&mut self, object: Option<&Value>, revision: &str) -> Value {
        let metadata = json!({ "resourceVersion": revision });
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        table::table(
            &self.call.kind,
            object,
            metadata,
            Timestamp::now(),
            self.include,
            columns,
        )
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let revision = revision.to_string();
        let mut metadata = json!({ "resourceVersion": revision, "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = match self.call.shape {
            Shape::Table => self.table(None, &revision),
            Shape::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Shape::Plain | Shape::Discovery | Shape::Yaml => json!({
                "kind": self.call.kind.kind,
                "apiVersion": self.call.kind.api_version(),
                "metadata": metadata,
            }),
        };
        line(&json!({ "type": "BOOKMARK", "object": object }))
    }
}

fn error_event(status: &Status) -> Value {
    json!({ "type": "ERROR", "object": status.to_value() })
}

fn line(event: &Value) -> Bytes {
    let mut text = event.to_string();
    text.push('\n');
    Bytes::from(text)
}

fn one_event(event: &Value) -> Reply {
    Reply::Response(stream(reply::full(line(event))))
}

fn stream(body: reply::Body) -> Response<reply::Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}
