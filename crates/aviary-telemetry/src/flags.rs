//! Envoy's response flags as a set of bits.

use std::borrow::Cow;

/// What went wrong with an exchange, or was done to it on purpose; often nothing.
///
/// Source: Envoy `CoreResponseFlag`, in its order, which is the order of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

/// The short names, by bit; what Envoy writes.
const NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC",
    "URX", "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
    "UDO",
];

/// The long names, by bit.
const LONG_NAMES: [&str; 30] = [
    "FailedLocalHealthCheck",
    "NoHealthyUpstream",
    "UpstreamRequestTimeout",
    "LocalReset",
    "UpstreamRemoteReset",
    "UpstreamConnectionFailure",
    "UpstreamConnectionTermination",
    "UpstreamOverflow",
    "NoRouteFound",
    "DelayInjected",
    "FaultInjected",
    "RateLimited",
    "UnauthorizedExternalService",
    "RateLimitServiceError",
    "DownstreamConnectionTermination",
    "UpstreamRetryLimitExceeded",
    "StreamIdleTimeout",
    "InvalidEnvoyRequestHeaders",
    "DownstreamProtocolError",
    "UpstreamMaxStreamDurationReached",
    "ResponseFromCacheFilter",
    "NoFilterConfigFound",
    "DurationTimeout",
    "UpstreamProtocolError",
    "NoClusterFound",
    "OverloadManagerTerminated",
    "DnsResolutionFailed",
    "DropOverload",
    "DownstreamRemoteReset",
    "UnconditionalDropOverload",
];

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `UH`: no healthy endpoint.
    pub const NO_HEALTHY_UPSTREAM: Self = Self(1 << 1);
    /// `UT`: the request took longer than its timeout.
    pub const UPSTREAM_REQUEST_TIMEOUT: Self = Self(1 << 2);
    /// `LR`: reset by this proxy.
    pub const LOCAL_RESET: Self = Self(1 << 3);
    /// `UR`: reset by the endpoint.
    pub const UPSTREAM_REMOTE_RESET: Self = Self(1 << 4);
    /// `UF`: no connection to the endpoint.
    pub const UPSTREAM_CONNECTION_FAILURE: Self = Self(1 << 5);
    /// `UC`: the connection to the endpoint ended early.
    pub const UPSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 6);
    /// `UO`: a circuit breaker was open.
    pub const UPSTREAM_OVERFLOW: Self = Self(1 << 7);
    /// `NR`: no route or filter chain.
    pub const NO_ROUTE: Self = Self(1 << 8);
    /// `DI`: delayed by a fault rule.
    pub const DELAY_INJECTED: Self = Self(1 << 9);
    /// `FI`: aborted by a fault rule.
    pub const FAULT_INJECTED: Self = Self(1 << 10);
    /// `UAEX`: refused by an authorisation service.
    pub const UNAUTHORIZED_EXTERNAL_SERVICE: Self = Self(1 << 12);
    /// `DC`: the client went away.
    pub const DOWNSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 14);
    /// `URX`: no try was left.
    pub const UPSTREAM_RETRY_LIMIT_EXCEEDED: Self = Self(1 << 15);
    /// `SI`: nothing moved on the stream for too long.
    pub const STREAM_IDLE_TIMEOUT: Self = Self(1 << 16);
    /// `IH`: a strictly checked header was not valid.
    pub const INVALID_ENVOY_REQUEST_HEADERS: Self = Self(1 << 17);
    /// `DPE`: the client broke the protocol.
    pub const DOWNSTREAM_PROTOCOL_ERROR: Self = Self(1 << 18);
    /// `UMSDR`: the longest duration of a stream was reached upstream.
    pub const UPSTREAM_MAX_STREAM_DURATION: Self = Self(1 << 19);
    /// `DT`: the longest duration of a request or connection was reached.
    pub const DURATION_TIMEOUT: Self = Self(1 << 22);
    /// `UPE`: the endpoint broke the protocol.
    pub const UPSTREAM_PROTOCOL_ERROR: Self = Self(1 << 23);
    /// `NC`: the route names a cluster that is not there.
    pub const NO_CLUSTER: Self = Self(1 << 24);
    /// `OM`: refused because memory or descriptors run out.
    pub const OVERLOAD_MANAGER: Self = Self(1 << 25);
    /// `DF`: the name of the endpoint could not be resolved.
    pub const DNS_RESOLUTION_FAILED: Self = Self(1 << 26);
    /// `DO`: dropped by the cluster's drop policy.
    pub const DROP_OVERLOAD: Self = Self(1 << 27);
    /// `DR`: the client reset the stream.
    pub const DOWNSTREAM_REMOTE_RESET: Self = Self(1 << 28);

    /// Adds the flags of `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a flag of `other` is here.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no flag.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number: one bit a flag.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flag with a short name, e.g. `UF`.
    pub fn named(name: &str) -> Option<Self> {
        let bit = NAMES.iter().position(|known| *known == name)?;
        Some(Self(1 << bit))
    }

    /// `-` without a flag, else the short names, e.g. `UF,URX`.
    pub fn text(self) -> Cow<'static, str> {
        self.join(&NAMES)
    }

    /// `-` without a flag, else the long names.
    pub fn long_text(self) -> Cow<'static, str> {
        self.join(&LONG_NAMES)
    }

    fn join(self, names: &'static [&'static str; NAMES.len()]) -> Cow<'static, str> {
        // Mostly there is none.
        if self.is_empty() {
            return Cow::Borrowed("-");
        }
        let mut set = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| *name);
        match (set.next(), set.next()) {
            (None, _) => Cow::Borrowed("-"),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => {
                let rest = set.fold(format!("{first},{second}"), |text, name| text + "," + name);
                Cow::Owned(rest)
            }
        }
    }
}

#[cfg(test)]
mod tests;
