//! A request as it goes out.

use aviary_mesh::cluster::UpstreamProtocol;
use aviary_mesh::resolve::Target;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};

use crate::http::Body;
use crate::reply::Reply;

/// The message of one request, from which each try gets a copy.
pub(super) struct Message {
    pub(super) head: http::request::Parts,
    /// `None` when it was streamed and is gone.
    pub(super) body: Option<Body>,
}

impl Message {
    /// Whether another try could be made after one more.
    pub(super) fn is_repeatable(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.copy().is_some())
    }

    pub(super) fn next(&mut self) -> Option<Request<Body>> {
        let copy = self.body.as_ref().and_then(Body::copy);
        let body = copy.or_else(|| self.body.take())?;
        Some(Request::from_parts(self.head.clone(), body))
    }
}

/// Sets path and host as the route rewrites them, in the form of the upstream's protocol.
pub(super) fn address(
    head: &mut http::request::Parts,
    target: &Target<'_>,
    protocol: UpstreamProtocol,
) -> Result<(), Reply> {
    let bad = |()| Reply::bad_request("rewrite_invalid");
    let path: PathAndQuery = match &target.path {
        Some(path) => path.parse().map_err(|_| bad(()))?,
        None => match head.uri.path_and_query() {
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        },
    };
    let host: HeaderValue = match (target.host, head.uri.authority()) {
        (Some(host), _) => host.parse().map_err(|_| bad(()))?,
        (None, Some(authority)) => authority.as_str().parse().map_err(|_| bad(()))?,
        // Checked when the request came.
        (None, None) => head.headers.get(HOST).cloned().ok_or_else(|| bad(()))?,
    };
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(path);
    if protocol == UpstreamProtocol::Http2 {
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| bad(()))?);
        head.headers.remove(HOST);
        head.version = http::Version::HTTP_2;
    } else {
        head.headers.insert(HOST, host);
        head.version = http::Version::HTTP_11;
    }
    head.uri = Uri::from_parts(uri).map_err(|_| bad(()))?;
    Ok(())
}
