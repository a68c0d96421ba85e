//! Which exchanges a log wants.

use std::time::Duration;

use aviary_mesh::access_log::{Comparison, LogFilter};
use aviary_mesh::matcher::HeaderMatch;

use super::Error;
use crate::flags::Flags;

/// What filters look at, once an exchange is over.
pub struct Facts<'a> {
    /// Status of the reply; 0 when there was none.
    pub code: u16,
    /// From first to last byte.
    pub duration: Duration,
    /// Response flags.
    pub flags: Flags,
    /// Whether spans of the request's trace are kept.
    pub sampled: bool,
    /// Whether a condition on a header of the request holds; none does without a request.
    pub header: &'a dyn Fn(&HeaderMatch) -> bool,
    /// Draws a number from 0 to 100, the end left out.
    pub draw: &'a dyn Fn() -> f64,
}

/// A filter, ready for use.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// What is asked for never happens here, or always.
    Fixed(bool),
    Status(Comparison),
    /// Milliseconds.
    Duration(Comparison),
    Sampled,
    Share(f64),
    All(Vec<Self>),
    Any(Vec<Self>),
    Header(HeaderMatch),
    /// One of these.
    Flags(Flags),
    AnyFlag,
}

impl Filter {
    /// Understands a filter.
    pub(super) fn new(filter: &LogFilter) -> Result<Self, Error> {
        let each =
            |filters: &[LogFilter]| filters.iter().map(Self::new).collect::<Result<_, Error>>();
        Ok(match filter {
            LogFilter::Status(comparison) => Self::Status(*comparison),
            LogFilter::Duration(comparison) => Self::Duration(*comparison),
            // This proxy answers no health checks, so a request is never one.
            LogFilter::NotHealthCheck => Self::Fixed(true),
            LogFilter::Traceable => Self::Sampled,
            LogFilter::Share(percent) => Self::Share(*percent),
            LogFilter::All(filters) => Self::All(each(filters)?),
            LogFilter::Any(filters) => Self::Any(each(filters)?),
            LogFilter::Header(condition) => Self::Header(condition.clone()),
            LogFilter::Flags(names) if names.is_empty() => Self::AnyFlag,
            LogFilter::Flags(names) => Self::Flags(flags(names)?),
        })
    }

    /// Whether an exchange is wanted.
    ///
    /// Source: Envoy `AccessLog::FilterImpl` of each kind.
    pub(super) fn passes(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Fixed(passes) => *passes,
            Self::Status(comparison) => comparison.holds(u64::from(facts.code)),
            Self::Duration(comparison) => {
                let millis = u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX);
                comparison.holds(millis)
            }
            Self::Sampled => facts.sampled,
            Self::Share(percent) => (facts.draw)() < *percent,
            Self::All(filters) => filters.iter().all(|filter| filter.passes(facts)),
            Self::Any(filters) => filters.iter().any(|filter| filter.passes(facts)),
            Self::Header(condition) => (facts.header)(condition),
            Self::Flags(flags) => facts.flags.intersects(*flags),
            Self::AnyFlag => !facts.flags.is_empty(),
        }
    }
}

fn flags(names: &[String]) -> Result<Flags, Error> {
    let mut all = Flags::NONE;
    for name in names {
        let flag = Flags::named(name);
        all.insert(flag.ok_or_else(|| Error::Flag { name: name.clone() })?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filter: &LogFilter, code: u16, flags: Flags) -> bool {
        let facts = Facts {
            code,
            duration: Duration::from_millis(20),
            flags,
            sampled: false,
            header: &|condition| condition.name == "x-here",
            draw: &|| 50.0,
        };
        Filter::new(filter).unwrap().passes(&facts)
    }

    fn header(name: &str) -> LogFilter {
        LogFilter::Header(HeaderMatch {
            name: name.into(),
            value: None,
            invert: false,
            missing_as_empty: false,
            ignore_case: false,
        })
    }

    #[test]
    fn passes_as_each_kind_of_filter_says() {
        let failed = LogFilter::Status(Comparison::AtLeast(500));
        let slow = LogFilter::Duration(Comparison::AtLeast(20));
        let fast = LogFilter::Duration(Comparison::AtMost(19));
        let flags = |names: &[&str]| {
            LogFilter::Flags(names.iter().map(|name| (*name).to_owned()).collect())
        };
        let flag = Flags::UPSTREAM_CONNECTION_FAILURE;
        for (filter, code, flag, want) in [
            (failed.clone(), 503, Flags::NONE, true),
            (failed.clone(), 200, Flags::NONE, false),
            (slow.clone(), 200, Flags::NONE, true),
            (fast.clone(), 200, Flags::NONE, false),
            (LogFilter::NotHealthCheck, 200, Flags::NONE, true),
            (LogFilter::Traceable, 200, Flags::NONE, false),
            (LogFilter::Share(50.0), 200, Flags::NONE, false),
            (LogFilter::Share(50.1), 200, Flags::NONE, true),
            (header("x-here"), 200, Flags::NONE, true),
            (header("x-away"), 200, Flags::NONE, false),
            (flags(&[]), 200, Flags::NONE, false),
            (flags(&[]), 200, flag, true),
            (flags(&["UF", "UH"]), 200, flag, true),
            (flags(&["UH"]), 200, flag, false),
            (
                LogFilter::All(vec![failed.clone(), slow.clone()]),
                503,
                flag,
                true,
            ),
            (
                LogFilter::All(vec![failed.clone(), fast.clone()]),
                503,
                flag,
                false,
            ),
            (LogFilter::Any(vec![failed.clone(), slow]), 200, flag, true),
            (LogFilter::Any(vec![failed, fast]), 200, flag, false),
        ] {
            assert_eq!(passes(&filter, code, flag), want, "{filter:?}");
        }
    }

    #[test]
    fn new_of_an_unknown_flag_is_refused() {
        let error = Filter::new(&LogFilter::Flags(vec!["XX".into()])).unwrap_err();
        assert!(error.to_string().contains("`XX`"), "{error}");
    }
}
