//! Subresources of pods: binding, eviction, log; and what is refused.

use std::{io, sync::Arc};

use aviary_kinds::{Status, fields};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{
    Call, delete, input,
    reply::{Body, Reply},
    update::TRIES,
    write,
};
use crate::{
    api::{self, Api, text},
    store::{Error, Expect, Mutation, Op},
};

/// Anything below a pod that is not status.
pub(crate) async fn answer(
    api: &Arc<Api>,
    method: &Method,
    call: &mut Call,
) -> Result<Reply, Status> {
    let subresource = call.path.subresource.clone();
    match (method.as_str(), subresource.as_str()) {
        ("GET", "log") => log(api, call).await,
        ("POST", "binding") => bind(api, call).await,
        ("POST", "eviction") => {
            let options = input::parse(call)?.0["deleteOptions"].clone();
            let options = delete::from_value(call, &options)?;
            let kind = Arc::clone(&call.kind);
            delete::remove(api, call, &kind, call.name(), &options).await?;
            Ok(Reply::Status(Status::created()))
        }
        (_, "exec" | "attach" | "portforward") => {
            api.require(&call.kind, call.namespace(), call.name())?;
            Err(Status::not_implemented(format!(
                "{subresource} is not served here; use `aviary exec {} -- CMD`",
                call.name()
            )))
        }
        (_, "token") => Err(Status::not_implemented(
            "service account tokens are not issued here; pods find theirs in their token volume",
        )),
        _ => Err(Status::method_not_allowed()),
    }
}

/// POST `/binding`: gives a pod its node, once.
async fn bind(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let (binding, _) = input::parse(call)?;
    let node = text(&binding, &["target", "name"]);
    if node.is_empty() {
        return Err(Status::bad_request(
            "the binding has no target: set target.name to a node",
        ));
    }
    let kind = Arc::clone(&call.kind);
    for _ in 0..TRIES {
        let old = api.require(&kind, call.namespace(), call.name())?;
        let conflict = |detail: &str| {
            let mut status = Status::conflict(&kind, call.name(), detail);
            status.message = format!(
                "Operation cannot be fulfilled on pods/binding \"{}\": {detail}",
                call.name()
            );
            status
        };
        let has = text(&old.value, &["spec", "nodeName"]);
        if !has.is_empty() {
            let detail = format!("pod {} is already assigned to node \"{has}\"", call.name());
            return Err(conflict(&detail));
        }
        if old.value["metadata"].get("deletionTimestamp").is_some() {
            let detail = format!(
                "pod {} is being deleted, cannot be assigned to a host",
                call.name()
            );
            return Err(conflict(&detail));
        }
        let mut new = (*old.value).clone();
        assign(&mut new, node, &binding["metadata"]["annotations"]);
        let manager = call.manager();
        let now = write::now();
        let who = fields::Write {
            kind: &kind,
            manager: &manager,
            subresource: Some("binding"),
            now,
        };
        fields::managed(&who, Some(&old.value), &mut new);
        if call.query.dry_run()? {
            return Ok(Reply::Status(Status::created()));
        }
        let expect = Expect::Revision(old.modified);
        let mutation = Mutation {
            key: old.key.clone(),
            expect,
            op: Op::Put(new),
        };
        match api.store.commit(vec![mutation]).await {
            Ok(_) => return Ok(Reply::Status(Status::created())),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(api::store_status(&error)),
        }
    }
    Err(Status::modified(&kind, call.name()))
}

/// Writes the node into a pod, with the condition that says so.
fn assign(pod: &mut Value, node: &str, annotations: &Value) {
    pod["spec"]["nodeName"] = json!(node);
    for (key, value) in annotations.as_object().into_iter().flatten() {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": write::now().to_string(),
        "observedGeneration": pod["metadata"]["generation"],
    });
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|other| text(other, &["type"]) != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = Value::Array(conditions);
}

/// GET `/log`: the node agent has the text.
async fn log(api: &Arc<Api>, call: &Call) -> Result<Reply, Status> {
    let pod = api.require(&call.kind, call.namespace(), call.name())?;
    let container = container(&pod.value, call.query.get("container"))?;
    if text(&pod.value, &["spec", "nodeName"]).is_empty() {
        let detail = format!("pod {} does not have a host assigned", call.name());
        return Err(Status::bad_request(detail));
    }
    let mut query = Vec::new();
    let known = [
        "follow",
        "tailLines",
        "timestamps",
        "sinceSeconds",
        "sinceTime",
        "limitBytes",
        "previous",
    ];
    for name in known {
        let value = call.query.get(name);
        // Only plain words pass to the agent's query.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '+');
        if !value.is_empty() && value.chars().all(plain) {
            query.push(format!("{name}={}", value.replace('+', "%2B")));
        }
    }
    let uri = format!(
        "/containerLogs/{}/{}/{container}?{}",
        call.namespace(),
        call.name(),
        query.join("&")
    );
    let response = fetch(api, &uri).await.map_err(|error| {
        Status::unavailable(format!(
            "the node agent does not answer ({error}); see whether `aviary up` still runs"
        ))
    })?;
    if response.status() == StatusCode::OK {
        return Ok(Reply::Response(response));
    }
    let text = response.into_body().collect().await;
    let text = text.map(|text| String::from_utf8_lossy(&text.to_bytes()).into_owned());
    Err(Status::bad_request(text.unwrap_or_else(|error| {
        format!("the node agent has no log: {error}")
    })))
}

/// The container whose log is meant.
fn container(pod: &Value, wanted: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        let list = pod["spec"][list].as_array().into_iter().flatten();
        list.map(|container| text(container, &["name"]).to_owned())
            .collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    let pod_name = text(pod, &["metadata", "name"]);
    if wanted.is_empty() {
        return match containers.as_slice() {
            [one] => Ok(one.clone()),
            many => {
                let mut message = format!(
                    "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                    many.join(" ")
                );
                if !init.is_empty() {
                    let more = format!(" or one of the init containers: [{}]", init.join(" "));
                    message.push_str(&more);
                }
                Err(Status::bad_request(message))
            }
        };
    }
    if containers.iter().chain(&init).any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    Err(Status::bad_request(format!(
        "container {wanted} is not valid for pod {pod_name}"
    )))
}

/// GETs a path of the node agent; the answer's body is passed on as it comes.
async fn fetch(
    api: &Api,
    uri: &str,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::UnixStream::connect(api.node_socket()).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the node agent closed a log");
        }
    });
    let request = Request::get(uri)
        .header(header::HOST, "node")
        .body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::CONNECTION);
    let media = HeaderValue::from_static("text/plain");
    parts.headers.entry(header::CONTENT_TYPE).or_insert(media);
    Ok(Response::from_parts(
        parts,
        body.map_err(io::Error::other).boxed_unsync(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_is_chosen_or_asked_for() {
        let one = json!({
            "metadata": { "name": "p" },
            "spec": { "containers": [{ "name": "a" }], "initContainers": [{ "name": "i" }] },
        });
        assert_eq!(container(&one, ""), Ok("a".to_owned()));
        assert_eq!(container(&one, "i"), Ok("i".to_owned()));
        let message = container(&one, "x").map_err(|status| status.message);
        assert_eq!(
            message,
            Err("container x is not valid for pod p".to_owned())
        );
        let mut two = one;
        two["spec"]["containers"] = json!([{ "name": "a" }, { "name": "b" }]);
        let message = container(&two, "").map_err(|status| status.message);
        assert_eq!(
            message,
            Err(
                "a container name must be specified for pod p, choose one of: [a b] or one of \
                 the init containers: [i]"
                    .to_owned()
            )
        );
    }

    #[test]
    fn assign_sets_node_and_condition() {
        let mut pod = json!({ "metadata": { "generation": 1 }, "spec": {}, "status": {} });
        assign(&mut pod, "n", &Value::Null);
        assert_eq!(pod["spec"]["nodeName"], "n");
        assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    }
}
