//! Requests through the in-process service: kube's client for what clients do, plain requests for
//! the texts on the wire.

use std::{path::PathBuf, pin::pin, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::{
    Api, Client,
    api::{
        DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    runtime::watcher,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::create::uid;
use crate::{
    Admission, AdmissionRequest, Body, Config, Denial, DenialCause, Server,
    auth::{self, User},
};

/// A server in a folder that goes with the test.
struct Fixture {
    folder: PathBuf,
    server: Server,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    async fn with(admission: Vec<Arc<dyn Admission>>) -> Self {
        let folder = std::env::temp_dir().join(format!("aviary-api-{}", uid()));
        let config = Config {
            admission,
            ..Config::at(&folder)
        };
        let server = Server::open(config).await.expect("open");
        Self { folder, server }
    }

    fn client(&self) -> Client {
        Client::new(self.server.client_service(), "default")
    }

    async fn send(&self, method: &str, path: &str, media: &str, body: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .header("user-agent", "tester/1.0")
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("request");
        let response = self
            .server
            .client_service()
            .oneshot(request)
            .await
            .expect("infallible");
        read(response).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, "application/json", &body.to_string())
            .await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn read(response: Response<Body>) -> (u16, Value) {
    let code = response.status().as_u16();
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("body")
        .to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    (code, value)
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("k".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    })
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn kube_client_creates_reads_patches_and_deletes() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    let made = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .expect("create");
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let patch = Patch::Merge(json!({ "data": { "k": "2" } }));
    let patched = api
        .patch("a", &PatchParams::default(), &patch)
        .await
        .expect("patch");
    assert_eq!(
        patched
            .data
            .as_ref()
            .and_then(|data| data.get("k"))
            .map(String::as_str),
        Some("2")
    );
    let again = api
        .patch("a", &PatchParams::default(), &patch)
        .await
        .expect("patch");
    assert_eq!(
        again.metadata.resource_version,
        patched.metadata.resource_version
    );
    let mut stale = made;
    stale.data = Some([("k".to_owned(), "3".to_owned())].into());
    let error = api
        .replace("a", &PostParams::default(), &stale)
        .await
        .expect_err("stale");
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please \
         apply your changes to the latest version and try again"
    );
    let listed = api
        .list(&ListParams::default().fields("metadata.name=a"))
        .await
        .expect("list");
    assert_eq!(listed.items.len(), 1);
    let gone = api
        .delete("a", &DeleteParams::default())
        .await
        .expect("delete");
    assert!(gone.is_right(), "a config map goes at once");
    assert!(api.get_opt("a").await.expect("get").is_none());
}

#[tokio::test]
async fn watch_follows_a_label_selector() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    let start = api.list(&ListParams::default()).await.expect("list");
    let version = start.metadata.resource_version.expect("version");
    let parameters = WatchParams::default().labels("x=y");
    let mut events = pin!(api.watch(&parameters, &version).await.expect("watch"));
    api.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .expect("create");
    for labels in [
        json!({ "x": "y" }),
        json!({ "x": "y", "z": "1" }),
        json!({ "x": "n" }),
    ] {
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        api.patch("a", &PatchParams::default(), &patch)
            .await
            .expect("label");
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = events
            .try_next()
            .await
            .expect("event")
            .expect("stream goes on");
        seen.push(match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(object) => {
                let labels = object.metadata.labels.expect("labels");
                assert_eq!(
                    labels.get("x").map(String::as_str),
                    Some("y"),
                    "the last that matched"
                );
                "deleted"
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => "other",
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
}

#[tokio::test]
async fn kube_watcher_streams_initial_events() {
    let fixture = Fixture::new().await;
    let api: Api<Namespace> = Api::all(fixture.client());
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = pin!(watcher(api.clone(), config));
        let mut names = Vec::new();
        loop {
            match events.next().await.expect("stream").expect("event") {
                watcher::Event::InitApply(namespace) => names.extend(namespace.metadata.name),
                watcher::Event::InitDone => break,
                _ => {}
            }
        }
        assert_eq!(
            names,
            ["default", "kube-node-lease", "kube-public", "kube-system"]
        );
    }
}

#[tokio::test]
async fn watch_of_forgotten_history_answers_410_inside_the_stream() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    api.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .expect("create");
    fixture.server.compact_now().await.expect("compact");
    let (code, event) = fixture
        .get(&format!("{MAPS}?watch=1&resourceVersion=1"))
        .await;
    assert_eq!(code, 200);
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    let message = event["object"]["message"].as_str().expect("message");
    assert!(
        message.starts_with("too old resource version: 1 ("),
        "{message}"
    );
}

#[tokio::test]
async fn statuses_have_the_texts_that_clients_know() {
    let fixture = Fixture::new().await;
    let map = json!({ "metadata": { "name": "a" } });
    assert_eq!(fixture.post(MAPS, map.clone()).await.0, 201);
    let with_version = json!({ "metadata": { "name": "b", "resourceVersion": "1" } });
    let wrong_kind = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "b" } });
    for (body, path, code, message) in [
        (map.clone(), MAPS, 409, "configmaps \"a\" already exists"),
        (
            map,
            "/api/v1/namespaces/none/configmaps",
            404,
            "namespaces \"none\" not found",
        ),
        (
            with_version,
            MAPS,
            500,
            "resourceVersion should not be set on objects to be created",
        ),
    ] {
        let (given, status) = fixture.post(path, body).await;
        assert_eq!((given, status["message"].as_str()), (code, Some(message)));
    }
    assert_eq!(fixture.post(MAPS, wrong_kind).await.0, 400);
    let (code, status) = fixture.get("/api/v1/namespaces/default/pods/none").await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("pods \"none\" not found"))
    );
    let (code, status) = fixture
        .get("/api/v1/namespaces/default/pods?resourceVersion=999999")
        .await;
    assert_eq!(
        (code, &status["details"]["retryAfterSeconds"]),
        (504, &json!(1))
    );
    let (code, status) = fixture.get("/api/v1/pods?fieldSelector=spec.none=1").await;
    let message = status["message"].as_str().expect("message");
    assert!(
        code == 400 && message.contains("field label not supported: spec.none"),
        "{message}"
    );
    assert_eq!(fixture.get("/apis/none/v1/things").await.0, 404);
    assert_eq!(
        fixture.get("/none").await,
        (404, json!("404 page not found\n"))
    );
    let (code, status) = fixture.send("POST", MAPS, "text/html", "x").await;
    assert_eq!(
        (code, &status["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
    let large = "x".repeat(super::input::LIMIT + 1);
    let (code, _) = fixture.send("POST", MAPS, "application/json", &large).await;
    assert_eq!(code, 413);
}

#[tokio::test]
async fn yaml_goes_in_and_comes_out() {
    let fixture = Fixture::new().await;
    let body = "metadata: {name: a}\ndata: {k: \"yes\"}\n";
    let (code, made) = fixture.send("POST", MAPS, "application/yaml", body).await;
    assert_eq!((code, &made["data"]["k"]), (201, &json!("yes")));
    let request = Request::get(format!("{MAPS}/a"))
        .header("accept", "application/yaml")
        .body(Full::new(Bytes::new()))
        .expect("request");
    let response = fixture
        .server
        .client_service()
        .oneshot(request)
        .await
        .expect("infallible");
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let text = read(response).await.1;
    assert!(
        text.as_str()
            .is_some_and(|text| text.contains("kind: ConfigMap")),
        "{text}"
    );
}

#[tokio::test]
async fn list_pages_are_consistent() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name, "1"))
            .await
            .expect("create");
    }
    let (_, first) = fixture.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let token = first["metadata"]["continue"]
        .as_str()
        .expect("token")
        .to_owned();
    api.delete("c", &DeleteParams::default())
        .await
        .expect("delete");
    let (_, second) = fixture
        .get(&format!("{MAPS}?limit=5&continue={token}"))
        .await;
    let names: Vec<_> = second["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    assert_eq!(names, ["c", "kube-root-ca.crt"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    fixture.server.compact_now().await.expect("compact");
    let (code, gone) = fixture
        .get(&format!("{MAPS}?limit=5&continue={token}"))
        .await;
    assert_eq!(code, 410);
    let fresh = gone["metadata"]["continue"]
        .as_str()
        .expect("a fresh token");
    let (code, rest) = fixture.get(&format!("{MAPS}?continue={fresh}")).await;
    assert_eq!(
        (code, rest["items"].as_array().map(Vec::len)),
        (200, Some(1))
    );
}

#[tokio::test]
async fn pod_lifecycle_binds_once_and_dies_gracefully() {
    let fixture = Fixture::new().await;
    let (code, made) = fixture.post(PODS, pod("p")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["status"]["phase"], "Pending");
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    assert_eq!(
        fixture
            .post(&format!("{PODS}/p/binding"), binding.clone())
            .await
            .0,
        201
    );
    let (code, status) = fixture.post(&format!("{PODS}/p/binding"), binding).await;
    assert_eq!(
        (code, &status["message"]),
        (
            409,
            &json!(
                "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
            )
        )
    );
    let api: Api<Pod> = Api::default_namespaced(fixture.client());
    let left = api
        .delete("p", &DeleteParams::default())
        .await
        .expect("delete");
    let left = left.left().expect("the pod");
    assert_eq!(left.metadata.deletion_grace_period_seconds, Some(30));
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    api.delete("p", &now).await.expect("delete");
    assert!(api.get_opt("p").await.expect("get").is_none());
    let mut other = pod("q");
    other["spec"]["serviceAccountName"] = json!("none");
    let (code, status) = fixture.post(PODS, other).await;
    assert_eq!(
        (code, &status["message"]),
        (
            403,
            &json!(
                "pods \"q\" is forbidden: error looking up service account default/none: serviceaccount \"none\" not found"
            )
        )
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    let mut held = config_map("a", "1");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    api.create(&PostParams::default(), &held)
        .await
        .expect("create");
    let left = api
        .delete("a", &DeleteParams::default())
        .await
        .expect("delete");
    assert!(
        left.left()
            .expect("the object")
            .metadata
            .deletion_timestamp
            .is_some()
    );
    let more = Patch::Merge(
        json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } }),
    );
    let error = api
        .patch("a", &PatchParams::default(), &more)
        .await
        .expect_err("no more");
    assert!(
        error.to_string().contains("no new finalizers can be added"),
        "{error}"
    );
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("a", &PatchParams::default(), &none)
        .await
        .expect("release");
    assert!(api.get_opt("a").await.expect("get").is_none());
}

#[tokio::test]
async fn namespace_has_its_content_and_ends_by_finalize() {
    let fixture = Fixture::new().await;
    let (code, made) = fixture
        .post("/api/v1/namespaces", json!({ "metadata": { "name": "x" } }))
        .await;
    assert_eq!((code, &made["status"]["phase"]), (201, &json!("Active")));
    assert_eq!(
        fixture
            .get("/api/v1/namespaces/x/serviceaccounts/default")
            .await
            .0,
        200
    );
    let (_, root) = fixture
        .get("/api/v1/namespaces/x/configmaps/kube-root-ca.crt")
        .await;
    assert_eq!(
        root["data"]["ca.crt"].as_str(),
        Some(fixture.server.ca_pem())
    );
    let (code, left) = fixture.send("DELETE", "/api/v1/namespaces/x", "", "").await;
    assert_eq!(
        (code, &left["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    let (code, status) = fixture
        .post(
            "/api/v1/namespaces/x/configmaps",
            json!({ "metadata": { "name": "a" } }),
        )
        .await;
    assert_eq!(
        (code, &status["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    let mut last = left;
    last["spec"]["finalizers"] = json!([]);
    let (code, _) = fixture
        .send(
            "PUT",
            "/api/v1/namespaces/x/finalize",
            "application/json",
            &last.to_string(),
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(fixture.get("/api/v1/namespaces/x").await.0, 404);
}

#[tokio::test]
async fn service_gets_an_address_that_nobody_has() {
    let fixture = Fixture::new().await;
    let api: Api<Service> = Api::default_namespaced(fixture.client());
    let body = json!({ "metadata": { "name": "a" }, "spec": { "ports": [{ "port": 80 }] } });
    let service: Service = serde_json::from_value(body).expect("service");
    let made = api
        .create(&PostParams::default(), &service)
        .await
        .expect("create");
    let ip = made.spec.and_then(|spec| spec.cluster_ip).expect("address");
    let same = json!({ "metadata": { "name": "b" }, "spec": { "clusterIP": ip, "ports": [{ "port": 80 }] } });
    let (code, status) = fixture
        .post("/api/v1/namespaces/default/services", same)
        .await;
    assert_eq!(code, 422);
    let message = status["message"].as_str().expect("message");
    assert!(
        message.contains("provided IP is already allocated"),
        "{message}"
    );
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let fixture = Fixture::new().await;
    let body = json!({ "metadata": { "generateName": "a-" } });
    let (code, made) = fixture.post(&format!("{MAPS}?dryRun=All"), body).await;
    let name = made["metadata"]["name"].as_str().expect("generated");
    assert_eq!((code, name.len()), (201, 7));
    assert_eq!(fixture.get(&format!("{MAPS}/{name}")).await.0, 404);
}

#[tokio::test]
async fn apply_creates_conflicts_and_keeps_the_version_when_nothing_changes() {
    let fixture = Fixture::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client());
    let config = |value: &str| {
        let metadata = json!({ "name": "a" });
        Patch::Apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "k": value } }),
        )
    };
    let one = PatchParams::apply("one");
    let made = api.patch("a", &one, &config("1")).await.expect("created");
    assert_eq!(made.metadata.name.as_deref(), Some("a"));
    let same = api.patch("a", &one, &config("1")).await.expect("same");
    assert_eq!(
        same.metadata.resource_version,
        made.metadata.resource_version
    );
    let two = PatchParams::apply("two");
    let error = api
        .patch("a", &two, &config("2"))
        .await
        .expect_err("conflict");
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.k"
    );
    let forced = api
        .patch("a", &two.force(), &config("2"))
        .await
        .expect("forced");
    assert_eq!(
        forced
            .data
            .and_then(|data| data.get("k").cloned())
            .as_deref(),
        Some("2")
    );
}

const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": {
                        "size": { "type": "integer", "maximum": 5, "default": 2 },
                    } },
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                } } },
            }],
        },
    })
}

#[tokio::test]
async fn definition_is_served_at_once_and_takes_its_objects_along() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.get(WIDGETS).await.0, 404);
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, made) = fixture.post(definitions, definition()).await;
    assert_eq!(code, 201, "{made}");
    let conditions = made["status"]["conditions"].as_array().expect("conditions");
    let established = conditions
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    assert!(established, "{made}");
    let widget = |size: i64| json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" }, "spec": { "size": size } });
    let (code, status) = fixture.post(WIDGETS, widget(9)).await;
    assert_eq!(code, 422, "{status}");
    let (code, made) = fixture.post(WIDGETS, widget(3)).await;
    assert_eq!((code, &made["metadata"]["generation"]), (201, &json!(1)));
    let status = json!({ "spec": { "size": 4 }, "status": { "ready": true } });
    let (code, changed) = fixture
        .send(
            "PATCH",
            &format!("{WIDGETS}/w/status"),
            "application/merge-patch+json",
            &status.to_string(),
        )
        .await;
    assert_eq!(
        (code, &changed["spec"]["size"], &changed["status"]["ready"]),
        (200, &json!(3), &json!(true))
    );
    let (code, groups) = fixture.get("/apis/example.com/v1").await;
    assert_eq!(
        (code, &groups["resources"][0]["name"]),
        (200, &json!("widgets"))
    );
    let (code, _) = fixture
        .send(
            "DELETE",
            &format!("{definitions}/widgets.example.com"),
            "",
            "",
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(fixture.get(WIDGETS).await.0, 404);
    assert_eq!(fixture.post(definitions, definition()).await.0, 201);
    assert_eq!(fixture.get(WIDGETS).await.1["items"], json!([]));
}

#[tokio::test]
async fn discovery_and_openapi_are_tagged_and_revalidated() {
    let fixture = Fixture::new().await;
    let ask = async |path: &str, accept: &str, tag: &str| {
        let request = Request::get(path)
            .header("accept", accept)
            .header("if-none-match", tag)
            .body(Full::new(Bytes::new()))
            .expect("request");
        fixture
            .server
            .client_service()
            .oneshot(request)
            .await
            .expect("infallible")
    };
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    for (path, accept) in [
        ("/api", aggregated),
        ("/apis", aggregated),
        ("/openapi/v3", "*/*"),
    ] {
        let response = ask(path, accept, "").await;
        assert_eq!(response.status(), 200, "{path}");
        let tag = response.headers()["etag"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(ask(path, accept, &tag).await.status(), 304, "{path}");
    }
    let (_, index) = fixture.get("/openapi/v3").await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .expect("url");
    let response = ask(url, "application/json", "").await;
    assert_eq!(response.headers()["cache-control"], "public, immutable");
    let old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(ask("/openapi/v2", old, "").await.status(), 200);
}

#[tokio::test]
async fn users_may_do_what_their_role_says() {
    let fixture = Fixture::new().await;
    let api = fixture.server.api();
    let ask = async |user: Option<User>, path: &str| {
        let request = Request::get(path)
            .body(Full::new(Bytes::new()))
            .expect("request");
        read(super::handle(Arc::clone(&api), user, request).await).await
    };
    let tokens = &api.tokens;
    let nobody = auth::authenticate(Some("Bearer wrong"), tokens, "n");
    assert_eq!(ask(nobody, MAPS).await.0, 401);
    assert_eq!(
        ask(Some(User::anonymous()), "/readyz").await,
        (200, json!("ok"))
    );
    let (code, status) = ask(Some(User::anonymous()), MAPS).await;
    assert_eq!(
        (code, &status["message"]),
        (
            403,
            &json!(
                "configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
            )
        )
    );
    let (code, status) = ask(Some(User::anonymous()), "/apis").await;
    assert_eq!(
        (code, &status["message"]),
        (
            403,
            &json!("forbidden: User \"system:anonymous\" cannot get path \"/apis\"")
        )
    );
    assert_eq!(ask(Some(User::node("n")), MAPS).await.0, 200);
}

/// Refuses everything named `bad`, marks the rest.
struct Hook;

impl Admission for Hook {
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) {
        let namespace = (request.get)("/namespaces", "", request.namespace).expect("namespace");
        object["metadata"]["labels"]["phase"] = namespace["status"]["phase"].clone();
    }

    fn validate(
        &self,
        request: &AdmissionRequest<'_>,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<Vec<String>, Denial> {
        if request.name != "bad" {
            return Ok(vec!["looked at".to_owned()]);
        }
        let cause = DenialCause {
            reason: "FieldValueInvalid".to_owned(),
            message: "Invalid value: \"bad\": no".to_owned(),
            field: "metadata.name".to_owned(),
        };
        Err(Denial {
            causes: vec![cause],
        })
    }
}

#[tokio::test]
async fn admission_hooks_own_nothing() {
    let fixture = Fixture::with(vec![Arc::new(Hook)]).await;
    let body = json!({ "metadata": { "name": "m" }, "data": { "k": "v" } });
    let (code, object) = fixture.post(MAPS, body).await;
    assert_eq!(code, 201, "{object}");
    assert_eq!(object["metadata"]["labels"]["phase"], "Active");
    let fields = &object["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields, &json!({ "f:data": { ".": {}, "f:k": {} } }));
}

#[tokio::test]
async fn admission_hooks_change_warn_and_refuse() {
    let fixture = Fixture::with(vec![Arc::new(Hook)]).await;
    let request = |name: &str| {
        let body = json!({ "metadata": { "name": name } }).to_string();
        Request::post(MAPS)
            .body(Full::new(Bytes::from(body)))
            .expect("request")
    };
    let service = fixture.server.client_service();
    let response = service
        .clone()
        .oneshot(request("good"))
        .await
        .expect("infallible");
    assert_eq!(response.headers()["warning"], "299 - \"looked at\"");
    assert_eq!(
        read(response).await.1["metadata"]["labels"]["phase"],
        "Active"
    );
    let (code, status) = read(service.oneshot(request("bad")).await.expect("infallible")).await;
    assert_eq!(
        (code, &status["message"]),
        (
            422,
            &json!("ConfigMap \"bad\" is invalid: metadata.name: Invalid value: \"bad\": no")
        )
    );
}

#[tokio::test]
async fn reopened_server_has_its_objects_and_keys() {
    let fixture = Fixture::new().await;
    fixture
        .post(MAPS, json!({ "metadata": { "name": "a" } }))
        .await;
    let config = fixture.server.kubeconfig("https://127.0.0.1:1");
    let folder = fixture.folder.clone();
    let copy = folder.with_extension("copy");
    std::fs::create_dir_all(copy.join("data")).expect("folder");
    std::fs::copy(
        folder.join("data/objects.redb"),
        copy.join("data/objects.redb"),
    )
    .expect("copy");
    let again = Config {
        pki: folder.join("pki"),
        ..Config::at(&copy)
    };
    let server = Server::open(again).await.expect("open again");
    assert_eq!(server.kubeconfig("https://127.0.0.1:1"), config);
    let api: Api<ConfigMap> =
        Api::default_namespaced(Client::new(server.client_service(), "default"));
    assert!(api.get_opt("a").await.expect("get").is_some());
    drop((api, server));
    std::fs::remove_dir_all(copy).expect("clean up");
}
