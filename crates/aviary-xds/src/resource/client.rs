//! Who a client is believed to be, and what upstreams are told of its certificate.

use std::mem::take;

use aviary_mesh::listener::{ClientCert, ForwardClientCert};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails as Forward, InternalAddressConfig, SetCurrentClientCertDetails as Details,
};

use super::value::{bool_of, boolean, range, range_of};
use super::{Fault, Within, each, nothing_left};

pub(super) fn internal(ranges: &[ipnet::IpNet]) -> Option<InternalAddressConfig> {
    (!ranges.is_empty()).then(|| InternalAddressConfig {
        cidr_ranges: ranges.iter().map(range).collect(),
        ..InternalAddressConfig::default()
    })
}

pub(super) fn internal_of(
    proto: Option<InternalAddressConfig>,
) -> Result<Vec<ipnet::IpNet>, Fault> {
    let mut proto = proto.unwrap_or_default();
    let ranges = each("cidr_ranges", take(&mut proto.cidr_ranges), |it| {
        range_of(&it)
    })?;
    nothing_left(&proto)?;
    Ok(ranges)
}

pub(super) fn forward(forward: ForwardClientCert) -> Forward {
    match forward {
        ForwardClientCert::Sanitize => Forward::Sanitize,
        ForwardClientCert::ForwardOnly => Forward::ForwardOnly,
        ForwardClientCert::AppendForward => Forward::AppendForward,
        ForwardClientCert::SanitizeSet => Forward::SanitizeSet,
        ForwardClientCert::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
    }
}

pub(super) fn details(cert: ClientCert) -> Option<Details> {
    let details = Details {
        subject: boolean(cert.subject),
        uri: cert.uri,
        dns: cert.dns,
        ..Details::default()
    };
    (details != Details::default()).then_some(details)
}

pub(super) fn cert_of(forward: i32, details: Option<Details>) -> Result<ClientCert, Fault> {
    let forward = match Forward::try_from(forward) {
        Ok(Forward::Sanitize) => ForwardClientCert::Sanitize,
        Ok(Forward::ForwardOnly) => ForwardClientCert::ForwardOnly,
        Ok(Forward::AppendForward) => ForwardClientCert::AppendForward,
        Ok(Forward::SanitizeSet) => ForwardClientCert::SanitizeSet,
        Ok(Forward::AlwaysForwardOnly) => ForwardClientCert::AlwaysForwardOnly,
        Err(_) => return Err(Fault::new("is not known").at("forward_client_cert_details")),
    };
    let mut details = details.unwrap_or_default();
    let cert = ClientCert {
        forward,
        subject: bool_of(details.subject.take()),
        uri: take(&mut details.uri),
        dns: take(&mut details.dns),
    };
    nothing_left(&details).within("set_current_client_cert_details")?;
    Ok(cert)
}
