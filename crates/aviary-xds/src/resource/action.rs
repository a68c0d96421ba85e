//! What becomes of a request, as the actions of Envoy's `Route`.

mod forward;
mod split;

use std::mem::take;

use aviary_mesh::route::{DirectResponse, Redirect, Retry, RouteAction};
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RedirectAction, route::Action,
};

use super::matches::{substitution, substitution_of};
use super::value::{inline_string, inline_string_of, port_of, some, status_of};
use super::{Fault, Within, nothing_left};

/// The retry policy of an action that has one.
pub(super) fn retry_of(action: &RouteAction) -> Option<&Retry> {
    match action {
        RouteAction::Forward(forward) => forward.retry.as_ref(),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    }
}

pub(super) fn to_proto(action: &RouteAction) -> Action {
    match action {
        RouteAction::Forward(forward) => Action::Route(forward::to_proto(forward)),
        RouteAction::Redirect(redirect) => Action::Redirect(redirect_to_proto(redirect)),
        RouteAction::Direct(direct) => Action::DirectResponse(DirectResponseAction {
            status: u32::from(direct.status),
            body: (!direct.body.is_empty()).then(|| inline_string(&direct.body)),
            ..DirectResponseAction::default()
        }),
    }
}

pub(super) fn from_proto(proto: Option<Action>, guarded: bool) -> Result<RouteAction, Fault> {
    match proto {
        Some(Action::Route(proto)) => forward::from_proto(proto, guarded)
            .map(RouteAction::Forward)
            .within("route"),
        Some(Action::Redirect(proto)) => redirect_of(proto)
            .map(RouteAction::Redirect)
            .within("redirect"),
        Some(Action::DirectResponse(proto)) => direct_of(proto)
            .map(RouteAction::Direct)
            .within("direct_response"),
        _ => Err(Fault::new("an action that is not supported")),
    }
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
        strip_query: redirect.strip_query,
        scheme_rewrite_specifier: redirect
            .scheme
            .clone()
            .map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: match (&redirect.path, &redirect.prefix, &redirect.regex) {
            (Some(path), _, _) => Some(PathRewriteSpecifier::PathRedirect(path.clone())),
            (None, Some(prefix), _) => Some(PathRewriteSpecifier::PrefixRewrite(prefix.clone())),
            (None, None, Some((pattern, new))) => Some(PathRewriteSpecifier::RegexRewrite(
                substitution(pattern, new),
            )),
            (None, None, None) => None,
        },
    }
}

fn redirect_of(mut proto: RedirectAction) -> Result<Redirect, Fault> {
    let mut redirect = Redirect {
        scheme: match proto.scheme_rewrite_specifier.take() {
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme),
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".to_owned()),
            Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
        },
        host: some(take(&mut proto.host_redirect)),
        port: match take(&mut proto.port_redirect) {
            0 => None,
            port => Some(port_of(port).within("port_redirect")?),
        },
        status: match RedirectResponseCode::try_from(take(&mut proto.response_code)) {
            Ok(RedirectResponseCode::MovedPermanently) => 301,
            Ok(RedirectResponseCode::Found) => 302,
            Ok(RedirectResponseCode::SeeOther) => 303,
            Ok(RedirectResponseCode::TemporaryRedirect) => 307,
            Ok(RedirectResponseCode::PermanentRedirect) => 308,
            Err(_) => return Err(Fault::new("is not known").at("response_code")),
        },
        strip_query: take(&mut proto.strip_query),
        ..Redirect::default()
    };
    match proto.path_rewrite_specifier.take() {
        None => {}
        Some(PathRewriteSpecifier::PathRedirect(path)) => redirect.path = some(path),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => redirect.prefix = Some(prefix),
        Some(PathRewriteSpecifier::RegexRewrite(regex)) => {
            redirect.regex = Some(substitution_of(regex).within("regex_rewrite")?);
        }
        Some(_) => return Err(Fault::new("is not supported").at("path_rewrite")),
    }
    nothing_left(&proto)?;
    Ok(redirect)
}

fn direct_of(mut proto: DirectResponseAction) -> Result<DirectResponse, Fault> {
    let direct = DirectResponse {
        status: status_of(take(&mut proto.status)).within("status")?,
        body: inline_string_of(proto.body.take()).within("body")?,
    };
    nothing_left(&proto)?;
    Ok(direct)
}
