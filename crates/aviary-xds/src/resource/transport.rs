//! TLS as Envoy's transport sockets.

mod credentials;
pub(super) mod secret;

use std::sync::Arc;

use aviary_mesh::tls::{ClusterTls, DownstreamTls, TlsMatch, UpstreamTls};
use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    DownstreamTlsContext, UpstreamTlsContext, downstream_tls_context::SessionTicketKeysType,
};
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value};

use super::value::{any, bool_of, boolean, number, unpack};
use super::{Fault, each, same};

const TLS: &str = "envoy.transport_sockets.tls";
const RAW: &str = "envoy.transport_sockets.raw_buffer";

/// Key of an endpoint's metadata that [`TransportSocketMatch`] looks at.
pub(super) const MATCH_KEY: &str = "envoy.transport_socket_match";
const MODE: &str = "tlsMode";
const MESH: &str = "istio";

fn socket(name: &str, config: Any) -> TransportSocket {
    TransportSocket {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

/// The configuration of a TLS socket; `None` for one that passes bytes as they are.
fn config_of(socket: &TransportSocket) -> Result<Option<&Any>, Fault> {
    match (&socket.config_type, socket.name.as_str()) {
        (_, RAW) => Ok(None),
        (Some(ConfigType::TypedConfig(config)), TLS) => Ok(Some(config)),
        (None, TLS) => Err(Fault::new("a configuration in place is missing").at("typed_config")),
        (_, other) => Err(Fault::new(format!(
            "transport socket `{other}` is not supported; use {TLS} or {RAW}"
        ))
        .at("name")),
    }
}

pub(super) fn downstream(tls: &DownstreamTls) -> TransportSocket {
    socket(TLS, any(&downstream_context(tls)))
}

fn downstream_context(tls: &DownstreamTls) -> DownstreamTlsContext {
    let set = |wanted: bool| wanted.then(|| boolean(true)).flatten();
    DownstreamTlsContext {
        common_tls_context: Some(credentials::to_proto(
            &tls.settings,
            &tls.certificates,
            tls.validation.as_ref(),
        )),
        require_client_certificate: set(tls.require_client_certificate),
        require_sni: set(tls.require_server_name),
        disable_stateful_session_resumption: tls.no_resumption,
        session_ticket_keys_type: tls.no_resumption.then_some(
            SessionTicketKeysType::DisableStatelessSessionResumption(true),
        ),
        ..DownstreamTlsContext::default()
    }
}

/// The TLS of a filter chain; `None` for plain text.
pub(super) fn downstream_of(proto: &TransportSocket) -> Result<Option<DownstreamTls>, Fault> {
    let Some(config) = config_of(proto)? else {
        return Ok(None);
    };
    let within = |fault: Fault| fault.at("typed_config");
    let mut proto: DownstreamTlsContext = unpack(config).map_err(within)?;
    let common = proto.common_tls_context.get_or_insert_default();
    credentials::simplify(common);
    let credentials =
        credentials::from_proto(common).map_err(|fault| within(fault.at("common_tls_context")))?;
    let no_resumption = matches!(
        proto.session_ticket_keys_type,
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(
            true
        ))
    );
    let tls = DownstreamTls {
        settings: credentials.settings,
        certificates: credentials.certificates,
        validation: credentials.validation,
        require_client_certificate: bool_of(proto.require_client_certificate),
        require_server_name: bool_of(proto.require_sni),
        no_resumption,
    };
    if tls.certificates.is_empty() {
        let fault = Fault::new("a certificate is needed: tls_certificates, or one by SDS");
        return Err(within(fault.at("common_tls_context")));
    }
    if tls.require_client_certificate && tls.validation.is_none() {
        let fault = Fault::new("is needed to judge the certificates that clients must have");
        return Err(within(fault.at("common_tls_context.validation_context")));
    }
    // Said or not, these mean the same. Without tickets there is no resumption here at all.
    let default_off = |value: &mut Option<_>| *value = value.take().filter(|it| bool_of(Some(*it)));
    default_off(&mut proto.require_client_certificate);
    default_off(&mut proto.require_sni);
    default_off(&mut proto.full_scan_certs_on_sni_mismatch);
    proto.disable_stateful_session_resumption = no_resumption;
    proto.session_ticket_keys_type = proto
        .session_ticket_keys_type
        .filter(|it| *it != SessionTicketKeysType::DisableStatelessSessionResumption(false));
    same(&proto, &downstream_context(&tls)).map_err(within)?;
    Ok(Some(tls))
}

pub(super) fn upstream(tls: &UpstreamTls) -> TransportSocket {
    socket(TLS, any(&upstream_context(tls)))
}

fn upstream_context(tls: &UpstreamTls) -> UpstreamTlsContext {
    UpstreamTlsContext {
        common_tls_context: Some(credentials::to_proto(
            &tls.settings,
            &tls.certificates,
            tls.validation.as_ref(),
        )),
        sni: tls.server_name.clone(),
        max_session_keys: tls.max_sessions.and_then(number),
        ..UpstreamTlsContext::default()
    }
}

/// The TLS spoken with endpoints; `None` for plain text.
pub(super) fn upstream_of(proto: &TransportSocket) -> Result<Option<UpstreamTls>, Fault> {
    let Some(config) = config_of(proto)? else {
        return Ok(None);
    };
    let within = |fault: Fault| fault.at("typed_config");
    let mut proto: UpstreamTlsContext = unpack(config).map_err(within)?;
    let common = proto.common_tls_context.get_or_insert_default();
    credentials::simplify(common);
    let credentials =
        credentials::from_proto(common).map_err(|fault| within(fault.at("common_tls_context")))?;
    let tls = UpstreamTls {
        settings: credentials.settings,
        certificates: credentials.certificates,
        validation: credentials.validation,
        server_name: proto.sni.clone(),
        max_sessions: proto.max_session_keys.map(|it| it.value),
    };
    if tls.certificates.len() > 1 {
        let fault = Fault::new("one certificate at most can be shown to endpoints");
        return Err(within(fault.at("common_tls_context.tls_certificates")));
    }
    same(&proto, &upstream_context(&tls)).map_err(within)?;
    Ok(Some(tls))
}

/// The socket and the matches of a cluster.
pub(super) fn cluster(tls: &ClusterTls) -> (Option<TransportSocket>, Vec<TransportSocketMatch>) {
    let one = |it: &TlsMatch| TransportSocketMatch {
        name: it.name.clone(),
        r#match: Some(if it.mesh {
            mesh_mark()
        } else {
            Struct::default()
        }),
        transport_socket: Some(
            it.tls
                .as_deref()
                .map_or_else(|| socket(RAW, any(&RawBuffer {})), upstream),
        ),
    };
    let fallback = tls.fallback.as_deref().map(upstream);
    (fallback, tls.matches.iter().map(one).collect())
}

pub(super) fn cluster_of(
    fallback: Option<&TransportSocket>,
    matches: &[TransportSocketMatch],
) -> Result<ClusterTls, Fault> {
    let fallback = fallback
        .map(upstream_of)
        .transpose()
        .map_err(|fault| fault.at("transport_socket"))?;
    Ok(ClusterTls {
        matches: each("transport_socket_matches", matches, match_of)?,
        fallback: fallback.flatten().map(Arc::new),
    })
}

fn match_of(proto: &TransportSocketMatch) -> Result<TlsMatch, Fault> {
    let wanted = proto.r#match.as_ref();
    let mesh = wanted.is_some_and(|it| *it == mesh_mark());
    if !mesh && wanted.is_some_and(|it| !it.fields.is_empty()) {
        let reason = format!("only `{{{MODE}: {MESH}}}` and the empty match are supported");
        return Err(Fault::new(reason).at("match"));
    }
    let socket = proto.transport_socket.as_ref();
    let socket = socket.ok_or_else(|| Fault::new("is missing").at("transport_socket"))?;
    let tls = upstream_of(socket).map_err(|fault| fault.at("transport_socket"))?;
    Ok(TlsMatch {
        name: proto.name.clone(),
        mesh,
        tls: tls.map(Arc::new),
    })
}

/// How Istio marks an endpoint that speaks the mesh's TLS.
pub(super) fn mesh_mark() -> Struct {
    let value = Value {
        kind: Some(value::Kind::StringValue(MESH.to_owned())),
    };
    Struct {
        fields: [(MODE.to_owned(), value)].into(),
    }
}

#[cfg(test)]
mod tests;
