//! HTTP: from a request to an answer.
//!
//! `handle` names the steps: authenticate, find the target, authorise, read the body, act, shape
//! the answer. Each verb has its module; none of them knows sockets.

mod accept;
mod create;
mod delete;
mod discovery;
mod input;
mod patch;
mod pod;
mod query;
mod read;
mod reply;
mod scale;
mod select;
mod target;
mod update;
mod watch;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use aviary_kinds::{Kind, Status};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};

use crate::{
    api::Api,
    auth::{Access, User},
};

pub(crate) use create::{generate, uid};
pub(crate) use discovery::Documents;
pub use reply::Body;
pub(crate) use write::now;

use accept::Shape;
use query::Query;
use reply::Reply;
use target::{Path, Target};

/// A request to a resource, as the verbs see it.
pub(crate) struct Call {
    pub(crate) user: User,
    pub(crate) kind: Arc<Kind>,
    pub(crate) path: Path,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) shape: Shape,
    pub(crate) body: Bytes,
    /// Texts for `Warning` headers of the answer.
    pub(crate) warnings: Vec<String>,
}

impl Call {
    /// Namespace of the path; empty for cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    /// Name of the path; empty for collections.
    pub(crate) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    /// `None` for the object itself.
    pub(crate) fn subresource(&self) -> Option<&str> {
        Some(self.path.subresource.as_str()).filter(|sub| !sub.is_empty())
    }

    /// What a watch keeps of its request.
    fn for_watch(&self) -> Self {
        Self {
            user: self.user.clone(),
            kind: Arc::clone(&self.kind),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: HeaderMap::new(),
            shape: self.shape,
            body: Bytes::new(),
            warnings: Vec::new(),
        }
    }

    /// Who owns the fields that this request sets.
    pub(crate) fn manager(&self) -> String {
        let named = self.query.get("fieldManager");
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = self.headers.get(http::header::USER_AGENT);
        let agent = agent
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let name = agent.split('/').next().unwrap_or_default().trim();
        if name.is_empty() {
            "unknown".to_owned()
        } else {
            name.to_owned()
        }
    }
}

/// Answers one request. `user` is `None` for credentials that nobody has.
pub(crate) async fn handle<B>(
    api: Arc<Api>,
    user: Option<User>,
    request: Request<B>,
) -> Response<Body>
where
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let Some(user) = user else {
        return reply::status(&Status::unauthorized());
    };
    let body = match Limited::new(body, input::LIMIT).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return reply::status(&Status::too_large(input::LIMIT));
        }
        Err(error) => {
            return reply::status(&Status::bad_request(format!(
                "cannot read the body: {error}"
            )));
        }
    };
    match answer(&api, user, parts, body).await {
        Ok(response) => response,
        Err(status) => reply::status(&status),
    }
}

async fn answer(
    api: &Arc<Api>,
    user: User,
    parts: http::request::Parts,
    body: Bytes,
) -> Result<Response<Body>, Status> {
    let path_text = parts.uri.path();
    let target = Target::parse(path_text);
    let header = |name| {
        let value: Option<&http::HeaderValue> = parts.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let shape = accept::negotiate(header(http::header::ACCEPT));
    match target {
        Target::Health => Ok(reply::text(200, "ok")),
        Target::Version => Ok(discovery::version()),
        Target::Resource(path) => {
            let shape = shape?;
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            let kind = find_kind(api, &path).ok_or_else(Status::no_such_resource);
            authorise(&user, &parts.method, &path, &query)?;
            let kind = kind?;
            check_scope(&kind, &path)?;
            let headers = parts.headers;
            let warnings = kind.deprecation.iter().map(ToString::to_string).collect();
            let mut call = Call {
                user,
                kind,
                path,
                query,
                headers,
                shape,
                body,
                warnings,
            };
            let outcome = dispatch(api, &parts.method, &mut call).await;
            reply::finish(&call, outcome).await
        }
        other => {
            if !user.may_discover() {
                return Err(Status::forbidden_path(
                    &user.name,
                    &parts.method.as_str().to_lowercase(),
                    path_text,
                ));
            }
            // Before judging `Accept`: clients take 404 as "not there" but 406 as a failure, and
            // kubectl asks for `/openapi/v2` in protobuf only.
            match other {
                Target::Unknown => return Ok(reply::text(404, "404 page not found\n")),
                Target::OldOpenApi => return Ok(discovery::old_openapi()),
                _ => {}
            }
            let none_match = header(http::header::IF_NONE_MATCH);
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            discovery::answer(api, &other, shape?, none_match, &query)
        }
    }
}

fn find_kind(api: &Api, path: &Path) -> Option<Arc<Kind>> {
    api.registry()
        .get(&path.group, &path.version, &path.plural)
        .cloned()
}

fn check_scope(kind: &Kind, path: &Path) -> Result<(), Status> {
    let misplaced = if kind.namespaced() {
        path.name.is_some() && path.namespace.is_none()
    } else {
        path.namespace.is_some()
    };
    let unknown_sub = !path.subresource.is_empty() && kind.subresource(&path.subresource).is_none();
    if misplaced || unknown_sub {
        return Err(Status::no_such_resource());
    }
    Ok(())
}

fn authorise(user: &User, method: &Method, path: &Path, query: &Query) -> Result<(), Status> {
    let verb = verb(method, path, query);
    let access = Access {
        verb,
        group: &path.group,
        resource: &path.plural,
        subresource: &path.subresource,
    };
    if user.may(access) {
        return Ok(());
    }
    let resource = if path.subresource.is_empty() {
        path.plural.clone()
    } else {
        format!("{}/{}", path.plural, path.subresource)
    };
    let place = match &path.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let detail = format!(
        "User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
        user.name, path.group
    );
    Err(reply::forbidden(path, &detail))
}

fn verb(method: &Method, path: &Path, query: &Query) -> &'static str {
    let watch = path.watch || query.flag("watch");
    match (method.as_str(), &path.name) {
        ("GET" | "HEAD", _) if watch => "watch",
        ("GET" | "HEAD", Some(_)) => "get",
        ("GET" | "HEAD", None) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", Some(_)) => "delete",
        ("DELETE", None) => "deletecollection",
        _ => "unknown",
    }
}

async fn dispatch(api: &Arc<Api>, method: &Method, call: &mut Call) -> Result<Reply, Status> {
    let subresource = call.path.subresource.clone();
    let named = call.path.name.is_some();
    match (method.as_str(), named, subresource.as_str()) {
        (_, true, "scale") => scale::answer(api, method, call).await,
        (_, true, "log" | "binding" | "eviction" | "exec" | "attach" | "portforward" | "token") => {
            pod::answer(api, method, call).await
        }
        ("GET" | "HEAD", _, _) if call.path.watch || call.query.flag("watch") => {
            watch::answer(api, call)
        }
        ("GET" | "HEAD", true, _) => read::get(api, call),
        ("GET" | "HEAD", false, _) => read::list(api, call),
        ("POST", false, "") => create::answer(api, call).await,
        ("PUT", true, _) => update::answer(api, call).await,
        ("PATCH", true, _) => patch::answer(api, call).await,
        ("DELETE", true, "") => delete::one(api, call).await,
        ("DELETE", false, "") => delete::collection(api, call).await,
        _ => Err(Status::method_not_allowed()),
    }
}
