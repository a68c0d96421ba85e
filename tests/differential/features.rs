//! A virtual host for each feature, and requests that show it from every side.

mod edits;
mod filters;
mod matches;
mod retries;
mod targets;

use serde_json::{Value, json};

use crate::config::merge;
use crate::request::Request;

/// A feature's routes, and what is asked of them.
struct Feature {
    host: &'static str,
    routes: Value,
    /// Fields of the virtual host beside its routes.
    settings: Value,
    requests: Vec<Request>,
}

/// The virtual hosts and the requests of all features.
pub(crate) fn all() -> (Vec<Value>, Vec<Request>) {
    let (mut hosts, mut requests) = (Vec::new(), Vec::new());
    for feature in [
        retries::retries(),
        retries::retry_of_host(),
        retries::asked(),
        retries::timeouts(),
        filters::faults(),
        filters::cors(),
        filters::cors_of_host(),
        filters::rbac(),
        filters::grpc(),
        edits::edits(),
        edits::actions(),
        edits::redirects(),
        edits::rewrites(),
        edits::answers(),
        matches::headers(),
        matches::query(),
        matches::paths(),
        matches::hosts(),
        matches::bytes(),
        targets::mirrors(),
        targets::hashes(),
        targets::troubles(),
    ] {
        let mut host = json!({
            "name": feature.host,
            "domains": [feature.host],
            "routes": feature.routes,
        });
        merge(&mut host, &feature.settings);
        hosts.push(host);
        requests.extend(feature.requests);
    }
    for (id, request) in requests.iter_mut().enumerate() {
        request.id = id.to_string();
    }
    (hosts, requests)
}

#[expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]
fn forward(prefix: &str, fields: Value) -> Value {
    let mut route = json!({"cluster": "one"});
    merge(&mut route, &fields);
    json!({"name": prefix, "match": {"prefix": prefix}, "route": route})
}

fn get(host: &str, path: &str) -> Request {
    Request::get(0, host, path)
}
