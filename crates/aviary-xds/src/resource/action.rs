//! What becomes of a request, as the actions of Envoy's `Route`.

use aviary_mesh::route::{
    DirectResponse, Forward, Mirror, PathRewrite, Redirect, Retry, RouteAction, WeightedCluster,
};
use envoy_types::pb::envoy::config::core::v3::{RuntimeFractionalPercent, data_source};
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy, UpgradeConfig,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, cluster_weight::HostRewriteSpecifier as BranchHost,
};
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RedirectAction, RetryPolicy, RouteAction as Proto,
    WeightedCluster as ProtoSplit, route::Action,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use super::route::{added, edits_of};
use super::value::{
    any, boolean, duration, duration_of, fraction, inline_string, number, percent_of, regex,
};
use super::{Fault, each};

pub(super) fn is_guarded(action: &RouteAction) -> bool {
    match action {
        RouteAction::Forward(forward) => forward.retry.as_ref().is_some_and(|retry| retry.guarded),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => false,
    }
}

pub(super) fn to_proto(action: &RouteAction) -> Action {
    match action {
        RouteAction::Forward(forward) => Action::Route(forward_to_proto(forward)),
        RouteAction::Redirect(redirect) => Action::Redirect(redirect_to_proto(redirect)),
        RouteAction::Direct(direct) => Action::DirectResponse(DirectResponseAction {
            status: u32::from(direct.status),
            body: (!direct.body.is_empty())
                .then_some(())
                .and_then(|()| inline_string(&direct.body)),
            ..DirectResponseAction::default()
        }),
    }
}

pub(super) fn from_proto(proto: Option<&Action>, guarded: bool) -> Result<RouteAction, Fault> {
    match proto {
        Some(Action::Route(proto)) => forward_of(proto, guarded)
            .map(RouteAction::Forward)
            .map_err(|fault| fault.at("route")),
        Some(Action::Redirect(proto)) => redirect_of(proto)
            .map(RouteAction::Redirect)
            .map_err(|fault| fault.at("redirect")),
        Some(Action::DirectResponse(proto)) => direct_of(proto)
            .map(RouteAction::Direct)
            .map_err(|fault| fault.at("direct_response")),
        _ => Err(Fault::new("an action that is not supported")),
    }
}

fn forward_to_proto(forward: &Forward) -> Proto {
    let (prefix_rewrite, regex_rewrite) = match &forward.rewrite {
        None => (String::new(), None),
        Some(PathRewrite::Prefix(prefix)) => (prefix.clone(), None),
        Some(PathRewrite::Regex {
            pattern,
            substitution,
        }) => {
            let rewrite = RegexMatchAndSubstitute {
                pattern: Some(regex(pattern)),
                substitution: substitution.clone(),
            };
            (String::new(), Some(rewrite))
        }
    };
    let upgrade = UpgradeConfig {
        upgrade_type: "websocket".to_owned(),
        enabled: boolean(true),
        ..UpgradeConfig::default()
    };
    Proto {
        cluster_specifier: Some(split_to_proto(&forward.clusters)),
        // Absent means 15 s to Envoy, nothing means never.
        timeout: duration(forward.timeout.unwrap_or_default()),
        retry_policy: forward.retry.as_ref().map(retry_to_proto),
        request_mirror_policies: forward.mirrors.iter().map(mirror_to_proto).collect(),
        prefix_rewrite,
        regex_rewrite,
        host_rewrite_specifier: forward
            .host_rewrite
            .clone()
            .map(HostRewriteSpecifier::HostRewriteLiteral),
        upgrade_configs: if forward.websocket {
            vec![upgrade]
        } else {
            Vec::new()
        },
        ..Proto::default()
    }
}

/// A single branch without edits is a plain cluster; its weight says nothing.
fn split_to_proto(clusters: &[WeightedCluster]) -> ClusterSpecifier {
    if let [single] = clusters
        && single.request_headers.is_empty()
        && single.response_headers.is_empty()
        && single.host_rewrite.is_none()
    {
        return ClusterSpecifier::Cluster(single.name.clone());
    }
    ClusterSpecifier::WeightedClusters(ProtoSplit {
        clusters: clusters.iter().map(branch_to_proto).collect(),
        ..ProtoSplit::default()
    })
}

fn branch_to_proto(branch: &WeightedCluster) -> ClusterWeight {
    ClusterWeight {
        name: branch.name.clone(),
        weight: number(branch.weight),
        request_headers_to_add: added(&branch.request_headers),
        request_headers_to_remove: branch.request_headers.remove.clone(),
        response_headers_to_add: added(&branch.response_headers),
        response_headers_to_remove: branch.response_headers.remove.clone(),
        host_rewrite_specifier: branch
            .host_rewrite
            .clone()
            .map(BranchHost::HostRewriteLiteral),
        ..ClusterWeight::default()
    }
}

fn branch_of(proto: &ClusterWeight) -> WeightedCluster {
    WeightedCluster {
        name: proto.name.clone(),
        weight: proto.weight.map_or(0, |weight| weight.value),
        request_headers: edits_of(
            &proto.request_headers_to_add,
            &proto.request_headers_to_remove,
        ),
        response_headers: edits_of(
            &proto.response_headers_to_add,
            &proto.response_headers_to_remove,
        ),
        host_rewrite: proto.host_rewrite_specifier.as_ref().map(|host| {
            let BranchHost::HostRewriteLiteral(host) = host;
            host.clone()
        }),
    }
}

fn mirror_to_proto(mirror: &Mirror) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: mirror.cluster.clone(),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(fraction(mirror.percent)),
            ..RuntimeFractionalPercent::default()
        }),
        trace_sampled: boolean(false),
        disable_shadow_host_suffix_append: true,
        ..RequestMirrorPolicy::default()
    }
}

fn mirror_of(proto: &RequestMirrorPolicy) -> Mirror {
    let fraction = proto
        .runtime_fraction
        .as_ref()
        .and_then(|it| it.default_value.as_ref());
    Mirror {
        cluster: proto.cluster.clone(),
        percent: percent_of(fraction),
    }
}

fn retry_to_proto(retry: &Retry) -> RetryPolicy {
    let previous = RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
            &PreviousHostsPredicate {},
        ))),
    };
    RetryPolicy {
        retry_on: retry.on.join(","),
        num_retries: number(retry.attempts),
        retriable_status_codes: retry.status_codes.iter().copied().map(u32::from).collect(),
        per_try_timeout: retry.per_try_timeout.and_then(duration),
        retry_host_predicate: if retry.avoid_previous > 0 {
            vec![previous]
        } else {
            Vec::new()
        },
        host_selection_retry_max_attempts: i64::from(retry.avoid_previous),
        retry_back_off: Some(RetryBackOff {
            base_interval: duration(retry.base_interval),
            max_interval: duration(retry.base_interval.saturating_mul(10)),
        }),
        ..RetryPolicy::default()
    }
}

fn retry_of(proto: &RetryPolicy, guarded: bool) -> Result<Retry, Fault> {
    let back_off = proto
        .retry_back_off
        .as_ref()
        .and_then(|it| it.base_interval.as_ref());
    let status = |code: &u32| {
        u16::try_from(*code).map_err(|_| Fault::new(format!("{code} is not a status")))
    };
    Ok(Retry {
        attempts: proto.num_retries.map_or(1, |number| number.value),
        on: proto
            .retry_on
            .split(',')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        status_codes: each(
            "retriable_status_codes",
            &proto.retriable_status_codes,
            status,
        )?,
        per_try_timeout: duration_of(proto.per_try_timeout.as_ref())
            .map_err(|fault| fault.at("per_try_timeout"))?,
        avoid_previous: u32::try_from(proto.host_selection_retry_max_attempts).unwrap_or(0),
        base_interval: duration_of(back_off)
            .map_err(|fault| fault.at("retry_back_off"))?
            .ok_or_else(|| Fault::new("an interval is missing").at("retry_back_off"))?,
        guarded,
    })
}

fn forward_of(proto: &Proto, guarded: bool) -> Result<Forward, Fault> {
    let clusters = match &proto.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            vec![WeightedCluster {
                name: name.clone(),
                weight: 100,
                ..WeightedCluster::default()
            }]
        }
        Some(ClusterSpecifier::WeightedClusters(split)) => {
            split.clusters.iter().map(branch_of).collect()
        }
        _ => return Err(Fault::new("a cluster is missing").at("cluster_specifier")),
    };
    if clusters.iter().all(|branch| branch.weight == 0) {
        return Err(Fault::new("no cluster has a weight").at("weighted_clusters"));
    }
    Ok(Forward {
        clusters,
        timeout: duration_of(proto.timeout.as_ref())
            .map_err(|fault| fault.at("timeout"))?
            .filter(|timeout| !timeout.is_zero()),
        retry: proto
            .retry_policy
            .as_ref()
            .map(|retry| retry_of(retry, guarded))
            .transpose()
            .map_err(|fault| fault.at("retry_policy"))?,
        mirrors: proto
            .request_mirror_policies
            .iter()
            .map(mirror_of)
            .collect(),
        rewrite: rewrite_of(proto)?,
        host_rewrite: match &proto.host_rewrite_specifier {
            None => None,
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => Some(host.clone()),
            Some(_) => return Err(Fault::new("is not supported").at("host_rewrite_specifier")),
        },
        websocket: !proto.upgrade_configs.is_empty(),
    })
}

fn rewrite_of(proto: &Proto) -> Result<Option<PathRewrite>, Fault> {
    let Some(rewrite) = &proto.regex_rewrite else {
        let prefix = Some(&proto.prefix_rewrite).filter(|prefix| !prefix.is_empty());
        return Ok(prefix.cloned().map(PathRewrite::Prefix));
    };
    let pattern = rewrite
        .pattern
        .as_ref()
        .map(|it| it.regex.clone())
        .unwrap_or_default();
    aviary_mesh::compiled::check_rewrite(&pattern, &rewrite.substitution)
        .map_err(|error| Fault::new(error).at("regex_rewrite"))?;
    Ok(Some(PathRewrite::Regex {
        pattern,
        substitution: rewrite.substitution.clone(),
    }))
}

fn redirect_to_proto(redirect: &Redirect) -> RedirectAction {
    RedirectAction {
        host_redirect: redirect.host.clone().unwrap_or_default(),
        port_redirect: redirect.port.map_or(0, u32::from),
        response_code: match redirect.status {
            302 => RedirectResponseCode::Found,
            303 => RedirectResponseCode::SeeOther,
            307 => RedirectResponseCode::TemporaryRedirect,
            308 => RedirectResponseCode::PermanentRedirect,
            _ => RedirectResponseCode::MovedPermanently,
        }
        .into(),
        scheme_rewrite_specifier: redirect
            .scheme
            .clone()
            .map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: match (&redirect.path, &redirect.prefix) {
            (Some(path), _) => Some(PathRewriteSpecifier::PathRedirect(path.clone())),
            (None, Some(prefix)) => Some(PathRewriteSpecifier::PrefixRewrite(prefix.clone())),
            (None, None) => None,
        },
        ..RedirectAction::default()
    }
}

fn redirect_of(proto: &RedirectAction) -> Result<Redirect, Fault> {
    let (path, prefix) = match &proto.path_rewrite_specifier {
        None => (None, None),
        Some(PathRewriteSpecifier::PathRedirect(path)) => (Some(path.clone()), None),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => (None, Some(prefix.clone())),
        Some(_) => return Err(Fault::new("is not supported").at("path_rewrite_specifier")),
    };
    Ok(Redirect {
        scheme: match &proto.scheme_rewrite_specifier {
            None => None,
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.clone()),
            Some(_) => return Err(Fault::new("is not supported").at("https_redirect")),
        },
        host: Some(&proto.host_redirect)
            .filter(|host| !host.is_empty())
            .cloned(),
        port: match proto.port_redirect {
            0 => None,
            port => Some(
                u16::try_from(port)
                    .map_err(|_| Fault::new(format!("{port} is not a port")).at("port_redirect"))?,
            ),
        },
        path,
        prefix,
        status: match RedirectResponseCode::try_from(proto.response_code) {
            Ok(RedirectResponseCode::Found) => 302,
            Ok(RedirectResponseCode::SeeOther) => 303,
            Ok(RedirectResponseCode::TemporaryRedirect) => 307,
            Ok(RedirectResponseCode::PermanentRedirect) => 308,
            _ => 301,
        },
    })
}

fn direct_of(proto: &DirectResponseAction) -> Result<DirectResponse, Fault> {
    let body = match proto.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        None => String::new(),
        Some(data_source::Specifier::InlineString(body)) => body.clone(),
        Some(_) => return Err(Fault::new("text in place is needed").at("body")),
    };
    let status = u16::try_from(proto.status)
        .map_err(|_| Fault::new(format!("{} is not a status", proto.status)).at("status"))?;
    Ok(DirectResponse { status, body })
}
