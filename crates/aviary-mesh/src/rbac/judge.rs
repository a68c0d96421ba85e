//! Evaluating authorisation rules.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, Permission, Policy, Principal, RbacFilter, Rules};
use crate::matcher::{HeaderMatch, Text};
use crate::resolve::condition::header_holds;
use crate::resolve::{Caller, Head};

/// What a filter says of a request or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// It may go on.
    pub allowed: bool,
    /// The policy of the rules that matched, by the order of their names.
    pub policy: Option<&'a str>,
    /// Rules with [`Action::Log`] matched.
    pub logged: bool,
    /// What the rules say that are only tried out.
    pub shadow: Option<Shadow<'a>>,
}

impl Judgement<'_> {
    /// Details for the log of what was denied.
    ///
    /// Source: Envoy `responseDetail`: white space in names becomes `_`.
    pub fn details(&self) -> String {
        details(self.policy)
    }
}

/// As [`Judgement::details`].
pub fn details(policy: Option<&str>) -> String {
    let name = policy.unwrap_or("none").replace(char::is_whitespace, "_");
    format!("rbac_access_denied_matched_policy[{name}]")
}

/// What the rules say that are only tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow<'a> {
    /// It would go on.
    pub allowed: bool,
    /// The policy that matched.
    pub policy: Option<&'a str>,
}

/// Whether a request may go on. One that may not is answered 403 `RBAC: access denied`.
///
/// A condition that cannot be judged denies: a header whose value is not text, or a condition on the
/// connection of a request of which it is not known. Source: Envoy `RoleBasedAccessControlEngineImpl`,
/// which compares bytes instead.
pub fn authorize<'a>(filter: &'a RbacFilter, head: &impl Head) -> Judgement<'a> {
    judge(
        filter,
        &Scene {
            head: Some(head),
            caller: head.caller(),
        },
    )
}

/// Whether a connection may go on; one that may not is closed.
///
/// Conditions on a request never hold. Source: Envoy's network filter, which has an empty head.
pub fn authorize_connection<'a>(filter: &'a RbacFilter, caller: &Caller<'_>) -> Judgement<'a> {
    judge::<NoHead>(
        filter,
        &Scene {
            head: None,
            caller: Some(caller),
        },
    )
}

/// Stands for the type of a head that is not there.
enum NoHead {}

impl Head for NoHead {
    fn method(&self) -> &str {
        match *self {}
    }
    fn authority(&self) -> &str {
        match *self {}
    }
    fn scheme(&self) -> &str {
        match *self {}
    }
    fn path_and_query(&self) -> &str {
        match *self {}
    }
    fn header(&self, _name: &str) -> Option<std::borrow::Cow<'_, str>> {
        match *self {}
    }
}

/// What is judged.
struct Scene<'a, H> {
    head: Option<&'a H>,
    caller: Option<&'a Caller<'a>>,
}

/// A condition cannot be judged.
struct Unknown;

type Holds = Result<bool, Unknown>;

fn judge<'a, H: Head>(filter: &'a RbacFilter, scene: &Scene<'_, H>) -> Judgement<'a> {
    let shadow = filter.shadow.as_ref().map(|rules| {
        let (allowed, policy) = apply(rules, scene);
        Shadow { allowed, policy }
    });
    let Some(rules) = &filter.rules else {
        return Judgement {
            allowed: true,
            policy: None,
            logged: false,
            shadow,
        };
    };
    let (allowed, policy) = apply(rules, scene);
    Judgement {
        allowed,
        policy,
        logged: rules.action == Action::Log && policy.is_some(),
        shadow,
    }
}

/// Whether the rules let it pass, and the policy that matched.
fn apply<'a, H: Head>(rules: &'a Rules, scene: &Scene<'_, H>) -> (bool, Option<&'a str>) {
    let unknown = rules.action == Action::Deny;
    let matched = rules
        .policies
        .iter()
        .find(|(_, policy)| scene.policy(policy).unwrap_or(unknown))
        .map(|(name, _)| name.as_str());
    let allowed = match rules.action {
        Action::Allow => matched.is_some(),
        Action::Deny => matched.is_none(),
        Action::Log => true,
    };
    (allowed, matched)
}

/// Whether one holds, though others may not be known.
fn any<T>(items: &[T], mut holds: impl FnMut(&T) -> Holds) -> Holds {
    let mut answer = Ok(false);
    for item in items {
        match holds(item) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(Unknown) => answer = Err(Unknown),
        }
    }
    answer
}

/// Whether all hold; one that does not decides, though others may not be known.
fn all<T>(items: &[T], mut holds: impl FnMut(&T) -> Holds) -> Holds {
    any(items, |item| holds(item).map(|holds| !holds)).map(|some_fails| !some_fails)
}

impl<H: Head> Scene<'_, H> {
    fn policy(&self, policy: &Policy) -> Holds {
        let permitted = any(&policy.permissions, |it| self.permission(it));
        if let Ok(false) = permitted {
            return permitted;
        }
        match any(&policy.principals, |it| self.principal(it)) {
            Ok(true) => permitted,
            other => other,
        }
    }

    fn permission(&self, permission: &Permission) -> Holds {
        Ok(match permission {
            Permission::Any => true,
            Permission::All(inner) => return all(inner, |it| self.permission(it)),
            Permission::OneOf(inner) => return any(inner, |it| self.permission(it)),
            Permission::Not(inner) => return self.permission(inner).map(|holds| !holds),
            Permission::Header(condition) => return self.header(condition),
            Permission::Path(text) => self.path().is_some_and(|path| text.matches(path)),
            Permission::PathTemplate(template) => {
                self.path().is_some_and(|path| template.matches(path))
            }
            Permission::DestinationIp(range) => {
                holds_address(range, self.caller()?.destination.ip())
            }
            Permission::DestinationPort(port) => self.caller()?.destination.port() == *port,
            Permission::DestinationPorts(start, end) => {
                (*start..*end).contains(&u32::from(self.caller()?.destination.port()))
            }
            Permission::ServerName(text) => text.matches(self.caller()?.server_name),
        })
    }

    fn principal(&self, principal: &Principal) -> Holds {
        Ok(match principal {
            Principal::Any => true,
            Principal::All(inner) => return all(inner, |it| self.principal(it)),
            Principal::OneOf(inner) => return any(inner, |it| self.principal(it)),
            Principal::Not(inner) => return self.principal(inner).map(|holds| !holds),
            Principal::Authenticated(name) => authenticated(self.caller()?, name.as_ref()),
            Principal::DirectRemoteIp(range) => holds_address(range, self.caller()?.direct.ip()),
            Principal::RemoteIp(range) => holds_address(range, self.caller()?.client),
            Principal::Header(condition) => return self.header(condition),
            Principal::Path(text) => self.path().is_some_and(|path| text.matches(path)),
        })
    }

    fn caller(&self) -> Result<&Caller<'_>, Unknown> {
        self.caller.ok_or(Unknown)
    }

    fn path(&self) -> Option<&str> {
        Some(self.head?.path_parts().0)
    }

    fn header(&self, condition: &HeaderMatch) -> Holds {
        match self.head {
            None => Ok(false),
            Some(head) if head.is_unreadable(&condition.name) => Err(Unknown),
            Some(head) => Ok(header_holds(condition, head)),
        }
    }
}

/// An IPv4 address may come as an IPv6 one that maps it.
fn holds_address(range: &IpNet, address: IpAddr) -> bool {
    range.contains(&address.to_canonical())
}

/// Source: Envoy `AuthenticatedMatcher`: any encrypted connection when no name is asked for, else
/// the URI names, the DNS names and the subject in turn.
fn authenticated(caller: &Caller<'_>, name: Option<&Text>) -> bool {
    let Some(name) = name else {
        return caller.encrypted;
    };
    let Some(subject) = caller.subject else {
        // A client without a certificate has the empty name.
        return caller.encrypted && name.matches("");
    };
    let mut names = subject.uris.iter().chain(&subject.dns);
    names.any(|it| name.matches(it)) || name.matches(&subject.name)
}

#[cfg(test)]
mod tests;
