//! Sending upstream.

use std::mem::take;
use std::time::Duration;

use aviary_mesh::route::{Forward, HashCookie, HashOf, HashPolicy, Mirror, PathRewrite};
use envoy_types::pb::envoy::config::route::v3::RouteAction as Proto;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, HashPolicy as ProtoHash, HostRewriteSpecifier, MaxStreamDuration,
    RequestMirrorPolicy, UpgradeConfig,
    hash_policy::{
        ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
    },
};

use super::super::matches::{substitution, substitution_of};
use super::super::value::{
    bool_of, boolean, duration, duration_of, runtime_fraction, runtime_percent_of, some,
};
use super::super::{Fault, Within, each, nothing_left, retry};
use super::split;

/// Envoy's, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn to_proto(forward: &Forward) -> Proto {
    let (prefix_rewrite, regex_rewrite) = match &forward.rewrite {
        None => (String::new(), None),
        Some(PathRewrite::Prefix(prefix)) => (prefix.clone(), None),
        Some(PathRewrite::Regex {
            pattern,
            substitution: new,
        }) => (String::new(), Some(substitution(pattern, new))),
    };
    let upgrade = |enabled| UpgradeConfig {
        upgrade_type: "websocket".to_owned(),
        enabled: boolean(enabled),
        ..UpgradeConfig::default()
    };
    let longest = MaxStreamDuration {
        max_stream_duration: forward.max_stream_duration.and_then(duration),
        grpc_timeout_header_max: forward.grpc_timeout_max.and_then(duration),
        ..MaxStreamDuration::default()
    };
    Proto {
        cluster_specifier: Some(split::to_proto(forward)),
        cluster_not_found_response_code: match forward.no_cluster_status {
            404 => ClusterNotFoundResponseCode::NotFound,
            500 => ClusterNotFoundResponseCode::InternalServerError,
            _ => ClusterNotFoundResponseCode::ServiceUnavailable,
        }
        .into(),
        // Absent means 15 s to Envoy, nothing means never.
        timeout: duration(forward.timeout.unwrap_or_default()),
        idle_timeout: forward.idle_timeout.and_then(duration),
        max_stream_duration: (longest != MaxStreamDuration::default()).then_some(longest),
        retry_policy: forward.retry.as_ref().map(retry::to_proto),
        request_mirror_policies: forward.mirrors.iter().map(mirror).collect(),
        prefix_rewrite,
        regex_rewrite,
        append_x_forwarded_host: forward.append_forwarded_host,
        host_rewrite_specifier: host_rewrite(forward),
        upgrade_configs: match (forward.websocket, forward.no_websocket) {
            (_, true) => vec![upgrade(false)],
            (true, false) => vec![upgrade(true)],
            (false, false) => Vec::new(),
        },
        hash_policy: forward.hash.iter().map(hash).collect(),
        ..Proto::default()
    }
}

fn host_rewrite(forward: &Forward) -> Option<HostRewriteSpecifier> {
    let literal = forward.host_rewrite.clone();
    let header = forward.host_rewrite_header.clone();
    let auto = || {
        forward
            .auto_host_rewrite
            .then_some(())
            .and_then(|()| boolean(true))
            .map(HostRewriteSpecifier::AutoHostRewrite)
    };
    literal
        .map(HostRewriteSpecifier::HostRewriteLiteral)
        .or_else(|| header.map(HostRewriteSpecifier::HostRewriteHeader))
        .or_else(auto)
}

pub(super) fn from_proto(mut proto: Proto, guarded: bool) -> Result<Forward, Fault> {
    let (clusters, hash_split) = split::from_proto(proto.cluster_specifier.take())?;
    let (websocket, no_websocket) =
        upgrades_of(take(&mut proto.upgrade_configs)).within("upgrade_configs")?;
    let timeout = duration_of(proto.timeout.take()).within("timeout")?;
    let retry = proto.retry_policy.take();
    let retry = retry.map(|retry| retry::from_proto(retry, guarded));
    let mut forward = Forward {
        clusters,
        hash_split,
        timeout: Some(timeout.unwrap_or(TIMEOUT)).filter(|it| !it.is_zero()),
        idle_timeout: duration_of(proto.idle_timeout.take()).within("idle_timeout")?,
        retry: retry.transpose().within("retry_policy")?,
        mirrors: each(
            "request_mirror_policies",
            take(&mut proto.request_mirror_policies),
            mirror_of,
        )?,
        rewrite: rewrite_of(&mut proto)?,
        websocket,
        no_websocket,
        append_forwarded_host: take(&mut proto.append_x_forwarded_host),
        hash: each("hash_policy", take(&mut proto.hash_policy), hash_of)?,
        no_cluster_status: no_cluster_of(take(&mut proto.cluster_not_found_response_code))?,
        ..Forward::default()
    };
    match proto.host_rewrite_specifier.take() {
        None => {}
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => forward.host_rewrite = some(host),
        Some(HostRewriteSpecifier::AutoHostRewrite(auto)) => forward.auto_host_rewrite = auto.value,
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
            forward.host_rewrite_header = some(name.to_ascii_lowercase());
        }
        Some(_) => return Err(Fault::new("is not supported").at("host_rewrite_path_regex")),
    }
    if let Some(longest) = proto.max_stream_duration.take() {
        longest_of(longest, &mut forward).within("max_stream_duration")?;
    }
    nothing_left(&proto)?;
    Ok(forward)
}

fn longest_of(mut proto: MaxStreamDuration, forward: &mut Forward) -> Result<(), Fault> {
    forward.max_stream_duration =
        duration_of(proto.max_stream_duration.take()).within("max_stream_duration")?;
    forward.grpc_timeout_max =
        duration_of(proto.grpc_timeout_header_max.take()).within("grpc_timeout_header_max")?;
    nothing_left(&proto)
}

fn no_cluster_of(code: i32) -> Result<u16, Fault> {
    match ClusterNotFoundResponseCode::try_from(code) {
        Ok(ClusterNotFoundResponseCode::ServiceUnavailable) => Ok(0),
        Ok(ClusterNotFoundResponseCode::NotFound) => Ok(404),
        Ok(ClusterNotFoundResponseCode::InternalServerError) => Ok(500),
        Err(_) => Err(Fault::new("is not known").at("cluster_not_found_response_code")),
    }
}

/// Whether websockets are allowed, and whether they are refused.
fn upgrades_of(upgrades: Vec<UpgradeConfig>) -> Result<(bool, bool), Fault> {
    let mut answer = (false, false);
    each("", upgrades, |mut upgrade| {
        let kind = take(&mut upgrade.upgrade_type);
        if !kind.eq_ignore_ascii_case("websocket") {
            let reason = format!("`{kind}` is not supported; only websocket is");
            return Err(Fault::new(reason).at("upgrade_type"));
        }
        let enabled = upgrade.enabled.take().is_none_or(|it| it.value);
        answer = (enabled, !enabled);
        nothing_left(&upgrade)
    })?;
    Ok(answer)
}

fn rewrite_of(proto: &mut Proto) -> Result<Option<PathRewrite>, Fault> {
    let prefix = some(take(&mut proto.prefix_rewrite)).map(PathRewrite::Prefix);
    let Some(regex) = proto.regex_rewrite.take() else {
        return Ok(prefix);
    };
    if prefix.is_some() {
        return Err(Fault::new("excludes `prefix_rewrite`").at("regex_rewrite"));
    }
    let (pattern, substitution) = substitution_of(regex).within("regex_rewrite")?;
    Ok(Some(PathRewrite::Regex {
        pattern,
        substitution,
    }))
}

fn mirror(mirror: &Mirror) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: mirror.cluster.clone(),
        runtime_fraction: Some(runtime_fraction(mirror.percent)),
        trace_sampled: boolean(false),
        disable_shadow_host_suffix_append: !mirror.shadow_host,
        ..RequestMirrorPolicy::default()
    }
}

/// A copy is never part of the trace, whatever is said.
fn mirror_of(mut proto: RequestMirrorPolicy) -> Result<Mirror, Fault> {
    if bool_of(proto.trace_sampled.take()) {
        return Err(Fault::new("copies are not traced; leave it out").at("trace_sampled"));
    }
    let percent = runtime_percent_of(proto.runtime_fraction.take()).within("runtime_fraction")?;
    let mirror = Mirror {
        cluster: take(&mut proto.cluster),
        percent: percent.unwrap_or(100.0),
        shadow_host: !take(&mut proto.disable_shadow_host_suffix_append),
        ..Mirror::default()
    };
    nothing_left(&proto)?;
    Ok(mirror)
}

fn hash(policy: &HashPolicy) -> ProtoHash {
    ProtoHash {
        terminal: policy.terminal,
        policy_specifier: Some(match &policy.of {
            HashOf::Header(name) => PolicySpecifier::Header(Header {
                header_name: name.clone(),
                ..Header::default()
            }),
            HashOf::Cookie(cookie) => PolicySpecifier::Cookie(Cookie {
                name: cookie.name.clone(),
                ttl: cookie.ttl.and_then(duration),
                path: cookie.path.clone(),
                attributes: cookie
                    .attributes
                    .iter()
                    .map(|(name, value)| CookieAttribute {
                        name: name.clone(),
                        value: value.clone(),
                    })
                    .collect(),
            }),
            HashOf::SourceIp => {
                PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
            }
            HashOf::Query(name) => {
                PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
            }
        }),
    }
}

fn hash_of(proto: ProtoHash) -> Result<HashPolicy, Fault> {
    let of = match proto.policy_specifier {
        Some(PolicySpecifier::Header(mut header)) => {
            let name = take(&mut header.header_name).to_ascii_lowercase();
            nothing_left(&header).within("header")?;
            HashOf::Header(name)
        }
        Some(PolicySpecifier::Cookie(cookie)) => HashOf::Cookie(HashCookie {
            name: cookie.name,
            ttl: duration_of(cookie.ttl).within("cookie.ttl")?,
            path: cookie.path,
            attributes: cookie
                .attributes
                .into_iter()
                .map(|it| (it.name, it.value))
                .collect(),
        }),
        Some(PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })) => {
            HashOf::SourceIp
        }
        Some(PolicySpecifier::QueryParameter(query)) => HashOf::Query(query.name),
        _ => return Err(Fault::new("a hash that is not supported")),
    };
    Ok(HashPolicy {
        of,
        terminal: proto.terminal,
    })
}
