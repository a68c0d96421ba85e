//! Which web pages may call a route.

use std::borrow::Cow;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::matcher::Text;
use crate::resolve::{Head, draw};

/// Which web pages may call, and what browsers are told of it.
///
/// Source: Envoy `extensions.filters.http.cors.v3.CorsPolicy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins that may call.
    pub allow_origins: Vec<Text>,
    /// Value of `access-control-allow-methods`; left out when empty.
    pub allow_methods: String,
    /// Value of `access-control-allow-headers`; left out when empty.
    pub allow_headers: String,
    /// Value of `access-control-expose-headers`; left out when empty.
    pub expose_headers: String,
    /// Value of `access-control-max-age`, in seconds; left out when empty.
    pub max_age: String,
    /// Whether pages may send credentials.
    pub allow_credentials: bool,
    /// Whether pages may call into a private network.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_private_network: bool,
    /// Share of requests that the policy is applied to, in percent.
    pub enabled_percent: f64,
    /// A preflight from an origin that is not allowed goes upstream; otherwise it is answered here.
    pub forward_unmatched_preflights: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_methods: String::new(),
            allow_headers: String::new(),
            expose_headers: String::new(),
            max_age: String::new(),
            allow_credentials: false,
            allow_private_network: false,
            enabled_percent: 100.0,
            forward_unmatched_preflights: true,
        }
    }
}

/// What a request from a page of another origin is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It asks before it calls: answered 200 with these headers and without a body (details
    /// `cors_response`).
    Preflight(Vec<(&'static str, Cow<'a, str>)>),
    /// It may call: every answer gets these headers.
    Allowed(Marks<'a>),
}

/// Headers of answers to an allowed origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks<'a> {
    origin: String,
    credentials: bool,
    expose: &'a str,
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE: &str = "access-control-expose-headers";

impl Marks<'_> {
    /// The headers; each replaces what the answer has.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let origin = Some((ALLOW_ORIGIN, self.origin.as_str()));
        let credentials = self.credentials.then_some((ALLOW_CREDENTIALS, "true"));
        let expose = (!self.expose.is_empty()).then_some((EXPOSE, self.expose));
        [origin, credentials, expose].into_iter().flatten()
    }
}

/// What becomes of a request under the policies of its route and virtual host; `None` when it goes
/// on as any other.
///
/// What one policy leaves empty is looked for in the next; flags are those of the first.
/// Source: Envoy `CorsFilter`, where also an unset flag is looked for in the next.
pub fn judge<'a>(
    policies: [Option<&'a Cors>; 2],
    head: &impl Head,
    rng: &mut impl Rng,
) -> Option<Verdict<'a>> {
    let first = policies[0].or(policies[1])?;
    if !draw(first.enabled_percent, rng) {
        return None;
    }
    let origin = head.header("origin").filter(|origin| !origin.is_empty())?;
    let text = |of: fn(&Cors) -> &String| {
        let mut texts = policies.iter().flatten().map(|policy| of(policy).as_str());
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let origins = policies
        .iter()
        .flatten()
        .map(|policy| &policy.allow_origins);
    let allowed = origins
        .filter(|origins| !origins.is_empty())
        .take(1)
        .flatten()
        .any(|wanted| wanted.matches("*") || wanted.matches(&origin));
    let asked = head.header("access-control-request-method");
    let Some(asked) = asked.filter(|asked| head.method() == "OPTIONS" && !asked.is_empty()) else {
        return allowed.then(|| {
            Verdict::Allowed(Marks {
                origin: origin.into_owned(),
                credentials: first.allow_credentials,
                expose: text(|it| &it.expose_headers),
            })
        });
    };
    if !allowed && first.forward_unmatched_preflights {
        return None;
    }
    let mut headers = Vec::with_capacity(7);
    if allowed {
        headers.push((ALLOW_ORIGIN, Cow::Owned(origin.into_owned())));
    }
    if first.allow_credentials {
        headers.push((ALLOW_CREDENTIALS, Cow::Borrowed("true")));
    }
    let mut list = |name, value: &'a str, asked: Option<Cow<'_, str>>| match value {
        "" => {}
        "*" => headers.push((name, Cow::Owned(asked.unwrap_or_default().into_owned()))),
        value => headers.push((name, Cow::Borrowed(value))),
    };
    list(
        "access-control-allow-methods",
        text(|it| &it.allow_methods),
        Some(asked),
    );
    list(
        "access-control-allow-headers",
        text(|it| &it.allow_headers),
        head.header("access-control-request-headers"),
    );
    let expose = text(|it| &it.expose_headers);
    if allowed && !expose.is_empty() {
        headers.push((EXPOSE, Cow::Borrowed(expose)));
    }
    let max_age = text(|it| &it.max_age);
    if !max_age.is_empty() {
        headers.push(("access-control-max-age", Cow::Borrowed(max_age)));
    }
    let private = head.header("access-control-request-private-network");
    if first.allow_private_network && private.as_deref() == Some("true") {
        headers.push((
            "access-control-allow-private-network",
            Cow::Borrowed("true"),
        ));
    }
    Some(Verdict::Preflight(headers))
}

#[cfg(test)]
mod tests;
