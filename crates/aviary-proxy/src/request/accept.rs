//! Checking a request, and giving it the headers of this hop.
//!
//! Source: Envoy `ConnectionManagerImpl::ActiveStream::decodeHeaders` and
//! `ConnectionManagerUtility::mutateRequestHeaders`. Differs on purpose: an edge without trusted
//! proxies before it removes every `x-envoy-*` and `x-forwarded-*` of the client, HTTP/1.0 is
//! always answered, and hosts go on in lower case.

use aviary_http::host;
use aviary_http::path::{self, Normal};
use aviary_http::{Fields, Method, Name, RequestHead, Scheme, Version};
use aviary_mesh::listener::HttpChain;
use aviary_mesh::tls::misdirected;
use aviary_telemetry::{Protocol, trace};

use super::cert;
use super::client::Client;
use crate::canonical::{path_form, port_form};
use crate::connection::{Identity, Link};
use crate::headers;
use crate::reply::Reply;

/// Brings a request to the form in which the rules see it; says whose it is, and its place in a
/// trace.
///
/// # Errors
/// The answer to a request that is refused.
pub(super) fn accept(
    link: &Link,
    identity: &Identity,
    chain: &HttpChain,
    head: &mut RequestHead,
) -> Result<(Client, Option<trace::Context>), Box<Reply>> {
    if head.known_method() == Method::Connect {
        // What follows may be meant for the tunnel that there is not.
        let reply = Reply {
            closes: true,
            ..Reply::no_route()
        };
        return Err(reply.into());
    }
    if !head.path().starts_with('/') {
        return Err(Reply::plain(404, "absolute_path_rejected", "").into());
    }
    if link.tls().is_some() && misdirected(identity.server_names(), head.authority()) {
        return Err(Reply::plain(421, "misdirected_request", "").into());
    }
    normalize(link, chain, head)?;
    let client = Client::of(chain, &head.fields, link.remote.ip());
    forwarded(link, chain, &client, head);
    tell_client(link, chain, &client, &mut head.fields);
    let trust = if client.edge && !chain.request_ids.keep_external {
        trace::Trust::Nobody
    } else {
        trace::Trust::Caller
    };
    let settings = &identity.telling().tracing;
    let context = link
        .worker
        .random(|rng| trace::prepare(&mut head.fields, trust, settings, rng));
    Ok((client, context))
}

/// Brings path and host to their normal form.
fn normalize(link: &Link, chain: &HttpChain, head: &mut RequestHead) -> Result<(), Box<Reply>> {
    const REFUSED: &str = "path_normalization_failed";
    match path::normalize(head.path(), path_form(chain.path)) {
        Ok(Normal::Same) => {}
        Ok(Normal::Changed(path)) => head.set_path(&path),
        // Clients of gRPC follow no redirects.
        Ok(Normal::Redirect(path)) if super::spoken(head) != Protocol::Grpc => {
            let reply = Reply::plain(307, REFUSED, "").with(Name::Location, path);
            return Err(reply.into());
        }
        Ok(Normal::Redirect(_)) | Err(_) => {
            let reply = Reply {
                closes: true,
                ..Reply::plain(400, REFUSED, "")
            };
            return Err(reply.into());
        }
    }
    let port = port_form(chain.strip_port, link.destination.port());
    if !head.has_plain_authority()
        && let Some(host) = host::normalize(head.authority(), port, false)
    {
        head.set_authority(&host);
    }
    Ok(())
}

/// The headers that tell of the way here.
fn forwarded(link: &Link, chain: &HttpChain, client: &Client, head: &mut RequestHead) {
    let own = if link.tls().is_some() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let fields = &mut head.fields;
    if chain.use_remote_address {
        if chain.trusted_hops == 0 {
            headers::strip_claims(fields, client.internal, chain.keep_forwarded_for);
        }
        if !chain.keep_forwarded_for {
            headers::append_to_list(fields, Name::XForwardedFor, ",", link.remote_text());
        }
    }
    let told = match fields.get(Name::XForwardedProto) {
        None => {
            fields.append(Name::XForwardedProto, own.text().as_bytes());
            own
        }
        Some(told) if told.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(told) if told.eq_ignore_ascii_case(b"http") => Scheme::Http,
        Some(_) => own,
    };
    // In HTTP/2 the client names it itself.
    if head.version() != Version::Http2 {
        head.set_scheme(told);
    }
}

/// The headers that tell of the client.
fn tell_client(link: &Link, chain: &HttpChain, client: &Client, fields: &mut Fields) {
    if client.internal {
        fields.set(Name::XEnvoyInternal, b"true");
    } else {
        headers::strip_controls(fields, client.edge);
    }
    if !chain.via.is_empty() {
        headers::append_to_list(fields, Name::Via, ", ", &chain.via);
    }
    if client.edge && client.address == link.remote.ip() {
        fields.set(Name::XEnvoyExternalAddress, link.remote_text().as_bytes());
    } else if client.edge {
        let address = client.address.to_string();
        fields.set(Name::XEnvoyExternalAddress, address.as_bytes());
    }
    cert::forward(fields, chain.client_cert, link.tls().map(AsRef::as_ref));
}
