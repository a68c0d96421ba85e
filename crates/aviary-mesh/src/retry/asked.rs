//! What a trusted request asks for beside the policy of its route.

use std::borrow::Cow;

use super::CONDITIONS;
use crate::matcher::HeaderMatch;
use crate::route::Retry;

/// The headers by which a request asks for retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Value of `x-envoy-retry-on`.
    pub on: Option<&'a str>,
    /// Value of `x-envoy-retry-grpc-on`.
    pub grpc_on: Option<&'a str>,
    /// Value of `x-envoy-max-retries`.
    pub attempts: Option<&'a str>,
    /// Value of `x-envoy-retriable-status-codes`.
    pub status_codes: Option<&'a str>,
    /// Value of `x-envoy-retriable-header-names`.
    pub header_names: Option<&'a str>,
}

impl Asked<'_> {
    /// The policy with what is asked for. Conditions that are not known are left out.
    ///
    /// Source: Envoy `RetryStateImpl`.
    pub fn merge<'a>(&self, policy: Option<&'a Retry>) -> Option<Cow<'a, Retry>> {
        if *self == Self::default() {
            return policy.map(Cow::Borrowed);
        }
        let mut merged = policy.cloned().unwrap_or_default();
        for condition in [self.on, self.grpc_on].into_iter().flatten().flat_map(list) {
            if CONDITIONS.contains(&condition) && !merged.on.iter().any(|it| it == condition) {
                merged.on.push(condition.to_owned());
            }
        }
        if merged.on.is_empty() {
            return None;
        }
        if let Some(attempts) = self.attempts.and_then(|it| it.trim().parse().ok()) {
            merged.attempts = attempts;
        }
        let codes = self.status_codes.into_iter().flat_map(list);
        merged
            .status_codes
            .extend(codes.filter_map(|it| it.parse::<u16>().ok()));
        let names = self.header_names.into_iter().flat_map(list);
        merged
            .response_headers
            .extend(names.map(|name| HeaderMatch {
                name: name.to_ascii_lowercase(),
                value: None,
                invert: false,
                missing_as_empty: false,
                ignore_case: false,
            }));
        Some(Cow::Owned(merged))
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_of_nothing_is_the_policy() {
        let policy = Retry::default();
        let merged = Asked::default().merge(Some(&policy));
        assert!(matches!(merged, Some(Cow::Borrowed(_))));
        assert_eq!(Asked::default().merge(None), None);
    }

    #[test]
    fn merge_without_a_policy_tries_once_more() {
        let asked = Asked {
            on: Some("5xx, nonsense,reset"),
            grpc_on: Some("unavailable"),
            ..Asked::default()
        };
        let merged = asked.merge(None).unwrap();
        assert_eq!(merged.on, ["5xx", "reset", "unavailable"]);
        assert_eq!(merged.attempts, 1);
        let more = Asked {
            attempts: Some("3"),
            status_codes: Some("404,x"),
            header_names: Some("X-Again"),
            ..asked
        };
        let merged = more.merge(None).unwrap();
        assert_eq!((merged.attempts, &merged.status_codes[..]), (3, &[404][..]));
        assert_eq!(merged.response_headers[0].name, "x-again");
    }

    #[test]
    fn merge_without_a_condition_never_retries() {
        let asked = Asked {
            on: Some("nonsense"),
            attempts: Some("3"),
            ..Asked::default()
        };
        assert_eq!(asked.merge(None), None);
    }
}
