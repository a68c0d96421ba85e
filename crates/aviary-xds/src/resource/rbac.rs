//! Authorisation filters, of requests and of connections.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use std::sync::Arc;

use aviary_mesh::rbac::{Action, Permission, Policy, Principal, RbacFilter, Rules, Template};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission as ProtoPermission, Policy as ProtoPolicy, Principal as ProtoPrincipal,
    Rbac as ProtoRules, permission, principal, rbac::Action as ProtoAction,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use envoy_types::pb::envoy::r#type::v3::Int32Range;

use super::matches::{header, header_of, path, path_of, text, text_of};
use super::value::{any, port_of, range, range_of, unpack};
use super::{Fault, Within, each, nothing_left};

const URI_TEMPLATE: &str = "envoy.path.match.uri_template.uri_template_matcher";

pub(super) fn http(filter: &RbacFilter) -> HttpRbac {
    HttpRbac {
        rules: filter.rules.as_ref().map(rules),
        shadow_rules: filter.shadow.as_ref().map(rules),
        shadow_rules_stat_prefix: filter.shadow_prefix.clone(),
        rules_stat_prefix: filter.stat_prefix.clone(),
        ..HttpRbac::default()
    }
}

pub(super) fn http_of(mut proto: HttpRbac) -> Result<Arc<RbacFilter>, Fault> {
    let filter = RbacFilter {
        rules: proto
            .rules
            .take()
            .map(rules_of)
            .transpose()
            .within("rules")?,
        shadow: (proto.shadow_rules.take().map(rules_of).transpose()).within("shadow_rules")?,
        shadow_prefix: std::mem::take(&mut proto.shadow_rules_stat_prefix),
        stat_prefix: std::mem::take(&mut proto.rules_stat_prefix),
    };
    nothing_left(&proto)?;
    Ok(Arc::new(filter))
}

pub(super) fn network(filter: &RbacFilter) -> NetworkRbac {
    NetworkRbac {
        rules: filter.rules.as_ref().map(rules),
        shadow_rules: filter.shadow.as_ref().map(rules),
        shadow_rules_stat_prefix: filter.shadow_prefix.clone(),
        stat_prefix: filter.stat_prefix.clone(),
        ..NetworkRbac::default()
    }
}

pub(super) fn network_of(mut proto: NetworkRbac) -> Result<Arc<RbacFilter>, Fault> {
    let filter = RbacFilter {
        rules: proto
            .rules
            .take()
            .map(rules_of)
            .transpose()
            .within("rules")?,
        shadow: (proto.shadow_rules.take().map(rules_of).transpose()).within("shadow_rules")?,
        shadow_prefix: std::mem::take(&mut proto.shadow_rules_stat_prefix),
        stat_prefix: std::mem::take(&mut proto.stat_prefix),
    };
    nothing_left(&proto)?;
    Ok(Arc::new(filter))
}

fn rules(rules: &Rules) -> ProtoRules {
    ProtoRules {
        action: match rules.action {
            Action::Allow => ProtoAction::Allow,
            Action::Deny => ProtoAction::Deny,
            Action::Log => ProtoAction::Log,
        }
        .into(),
        policies: rules
            .policies
            .iter()
            .map(|(name, it)| (name.clone(), policy(it)))
            .collect(),
        ..ProtoRules::default()
    }
}

fn rules_of(mut proto: ProtoRules) -> Result<Rules, Fault> {
    let action = match ProtoAction::try_from(std::mem::take(&mut proto.action)) {
        Ok(ProtoAction::Allow) => Action::Allow,
        Ok(ProtoAction::Deny) => Action::Deny,
        Ok(ProtoAction::Log) => Action::Log,
        Err(_) => return Err(Fault::new("is not known").at("action")),
    };
    let policies = std::mem::take(&mut proto.policies)
        .into_iter()
        .map(|(name, it)| {
            let policy = policy_of(it).within(&format!("policies[{name}]"))?;
            Ok((name, policy))
        })
        .collect::<Result<_, Fault>>()?;
    nothing_left(&proto)?;
    Ok(Rules { action, policies })
}

fn policy(policy: &Policy) -> ProtoPolicy {
    ProtoPolicy {
        permissions: policy.permissions.iter().map(permission).collect(),
        principals: policy.principals.iter().map(principal).collect(),
        ..ProtoPolicy::default()
    }
}

fn policy_of(mut proto: ProtoPolicy) -> Result<Policy, Fault> {
    let policy = Policy {
        permissions: each(
            "permissions",
            std::mem::take(&mut proto.permissions),
            permission_of,
        )?,
        principals: each(
            "principals",
            std::mem::take(&mut proto.principals),
            principal_of,
        )?,
    };
    nothing_left(&proto)?;
    Ok(policy)
}

fn permission(it: &Permission) -> ProtoPermission {
    use permission::{Rule, Set};
    let set = |all: &[Permission]| Set {
        rules: all.iter().map(permission).collect(),
    };
    let rule = match it {
        Permission::Any => Rule::Any(true),
        Permission::All(all) => Rule::AndRules(set(all)),
        Permission::OneOf(all) => Rule::OrRules(set(all)),
        Permission::Not(it) => Rule::NotRule(Box::new(permission(it))),
        Permission::Header(it) => Rule::Header(header(it)),
        Permission::Path(it) => Rule::UrlPath(path(it)),
        Permission::PathTemplate(it) => Rule::UriTemplate(TypedExtensionConfig {
            name: URI_TEMPLATE.to_owned(),
            typed_config: Some(any(&UriTemplateMatchConfig {
                path_template: it.source().to_owned(),
            })),
        }),
        Permission::DestinationIp(it) => Rule::DestinationIp(range(it)),
        Permission::DestinationPort(port) => Rule::DestinationPort(u32::from(*port)),
        Permission::DestinationPorts(start, end) => Rule::DestinationPortRange(Int32Range {
            start: i32::try_from(*start).unwrap_or(i32::MAX),
            end: i32::try_from(*end).unwrap_or(i32::MAX),
        }),
        Permission::ServerName(it) => Rule::RequestedServerName(text(it)),
    };
    ProtoPermission { rule: Some(rule) }
}

fn permission_of(proto: ProtoPermission) -> Result<Permission, Fault> {
    use permission::Rule;
    Ok(match proto.rule {
        Some(Rule::Any(true)) => Permission::Any,
        Some(Rule::AndRules(set)) => {
            Permission::All(each("rules", set.rules, permission_of).within("and_rules")?)
        }
        Some(Rule::OrRules(set)) => {
            Permission::OneOf(each("rules", set.rules, permission_of).within("or_rules")?)
        }
        Some(Rule::NotRule(it)) => {
            Permission::Not(Box::new(permission_of(*it).within("not_rule")?))
        }
        Some(Rule::Header(it)) => Permission::Header(header_of(it).within("header")?),
        Some(Rule::UrlPath(it)) => Permission::Path(path_of(it).within("url_path")?),
        Some(Rule::UriTemplate(it)) => {
            Permission::PathTemplate(template_of(it).within("uri_template")?)
        }
        Some(Rule::DestinationIp(it)) => {
            Permission::DestinationIp(range_of(&it).within("destination_ip")?)
        }
        Some(Rule::DestinationPort(it)) => {
            Permission::DestinationPort(port_of(it).within("destination_port")?)
        }
        Some(Rule::DestinationPortRange(it)) => match (it.start.try_into(), it.end.try_into()) {
            (Ok(start), Ok(end)) => Permission::DestinationPorts(start, end),
            _ => return Err(Fault::new("is negative").at("destination_port_range")),
        },
        Some(Rule::RequestedServerName(it)) => {
            Permission::ServerName(text_of(it).within("requested_server_name")?)
        }
        _ => return Err(Fault::new("a permission that is not supported")),
    })
}

fn template_of(extension: TypedExtensionConfig) -> Result<Template, Fault> {
    let config = extension.typed_config.unwrap_or_default();
    let proto: UriTemplateMatchConfig = unpack(&config).within("typed_config")?;
    Template::new(&proto.path_template)
        .map_err(|error| Fault::new(error).at("typed_config.path_template"))
}

fn principal(it: &Principal) -> ProtoPrincipal {
    use principal::{Authenticated, Identifier, Set};
    let set = |all: &[Principal]| Set {
        ids: all.iter().map(principal).collect(),
    };
    let identifier = match it {
        Principal::Any => Identifier::Any(true),
        Principal::All(all) => Identifier::AndIds(set(all)),
        Principal::OneOf(all) => Identifier::OrIds(set(all)),
        Principal::Not(it) => Identifier::NotId(Box::new(principal(it))),
        Principal::Authenticated(name) => Identifier::Authenticated(Authenticated {
            principal_name: name.as_ref().map(text),
        }),
        Principal::DirectRemoteIp(it) => Identifier::DirectRemoteIp(range(it)),
        Principal::RemoteIp(it) => Identifier::RemoteIp(range(it)),
        Principal::Header(it) => Identifier::Header(header(it)),
        Principal::Path(it) => Identifier::UrlPath(path(it)),
    };
    ProtoPrincipal {
        identifier: Some(identifier),
    }
}

fn principal_of(proto: ProtoPrincipal) -> Result<Principal, Fault> {
    use principal::Identifier;
    Ok(match proto.identifier {
        Some(Identifier::Any(true)) => Principal::Any,
        Some(Identifier::AndIds(set)) => {
            Principal::All(each("ids", set.ids, principal_of).within("and_ids")?)
        }
        Some(Identifier::OrIds(set)) => {
            Principal::OneOf(each("ids", set.ids, principal_of).within("or_ids")?)
        }
        Some(Identifier::NotId(it)) => {
            Principal::Not(Box::new(principal_of(*it).within("not_id")?))
        }
        Some(Identifier::Authenticated(it)) => {
            let name = it.principal_name.map(text_of).transpose();
            Principal::Authenticated(name.within("authenticated.principal_name")?)
        }
        // The older name of the connection's peer.
        Some(Identifier::SourceIp(it)) => {
            Principal::DirectRemoteIp(range_of(&it).within("source_ip")?)
        }
        Some(Identifier::DirectRemoteIp(it)) => {
            Principal::DirectRemoteIp(range_of(&it).within("direct_remote_ip")?)
        }
        Some(Identifier::RemoteIp(it)) => Principal::RemoteIp(range_of(&it).within("remote_ip")?),
        Some(Identifier::Header(it)) => Principal::Header(header_of(it).within("header")?),
        Some(Identifier::UrlPath(it)) => Principal::Path(path_of(it).within("url_path")?),
        _ => return Err(Fault::new("a principal that is not supported")),
    })
}
