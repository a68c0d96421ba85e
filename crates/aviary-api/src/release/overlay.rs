//! The split that the translator composes onto every route to the guarded Service.

use serde::{Deserialize, Serialize};

use super::{Affinity, WHOLE};
use crate::virtual_service::HttpMatch;

/// How traffic of the guarded Service is shared among versions.
///
/// It replaces the endpoints of every destination that leads to the Service, from gateways and
/// sidecars, HTTP and TCP, whatever subset the destination names: the user's rules still decide
/// *whether* a request goes to the Service, with which timeout, retries and rewrites; the overlay
/// decides *which version* answers. The order is:
/// 1. a request that meets `matched` goes to its version;
/// 2. else the bucket of the request, 0 to 999,999, chooses by [`Overlay::version_of`];
/// 3. a version without a ready endpoint gives its requests to `fallback`, if there is one;
/// 4. a copy goes to `mirror`, if there is one and the request went elsewhere.
///
/// For TCP, rules 2 and 3 hold per connection; the others have no meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overlay {
    /// Counts every change, and sometimes more; never goes back within a `Release`. Proxies
    /// acknowledge it.
    pub revision: u64,
    /// Shares that sum to 1,000,000. The order has meaning, see [`Overlay::version_of`].
    pub shares: Vec<Share>,
    /// Requests that go to a version whatever their bucket.
    pub matched: Option<Matched>,
    /// Copies.
    pub mirror: Option<Mirrored>,
    /// Version that stands in for one without ready endpoints; `None` when only one may serve.
    pub fallback: Option<String>,
    /// What identifies a user. The bucket is a hash of `salt` and that value; without it, or in a
    /// request that lacks it, the bucket is drawn at random.
    pub affinity: Option<Affinity>,
    /// Makes other users the first ones in other releases; constant within a `Release`.
    pub salt: String,
}

/// The share of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Share {
    /// Its `version` label.
    pub version: String,
    /// Parts per million.
    pub parts: u32,
}

/// Requests that go to one version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Matched {
    /// Its `version` label.
    pub version: String,
    /// Blocks, any of which suffices.
    pub matches: Vec<HttpMatch>,
}

/// Copies for one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mirrored {
    /// Its `version` label.
    pub version: String,
    /// Share of requests that are copied, in parts per million.
    pub parts: u32,
    /// Methods that are copied.
    pub methods: Vec<String>,
}

impl Overlay {
    /// The version that serves a bucket of 0 to 999,999.
    ///
    /// The buckets go to the shares in order. The new version is first, so a greater share of it
    /// only adds buckets: who was in stays in.
    pub fn version_of(&self, bucket: u32) -> Option<&str> {
        let mut end = 0;
        self.shares
            .iter()
            .find(|share| {
                end += share.parts;
                bucket < end
            })
            .map(|share| share.version.as_str())
    }

    /// Parts of a version; 0 if it has none.
    pub fn parts_of(&self, version: &str) -> u32 {
        let share = self.shares.iter().find(|share| share.version == version);
        share.map_or(0, |share| share.parts)
    }

    /// Whether a request or a copy of one may reach the version.
    pub fn reaches(&self, version: &str) -> bool {
        self.parts_of(version) > 0
            || self.matched.as_ref().is_some_and(|m| m.version == version)
            || self.mirror.as_ref().is_some_and(|m| m.version == version)
            || self.fallback.as_deref() == Some(version)
    }

    /// Whether the shares are everything, no more and no less.
    pub fn is_whole(&self) -> bool {
        let sum: u64 = self.shares.iter().map(|share| u64::from(share.parts)).sum();
        sum == u64::from(WHOLE)
    }

    /// Whether both split traffic in the same way, revisions aside.
    pub fn same_split(&self, other: &Self) -> bool {
        let revision = self.revision;
        *self
            == Self {
                revision,
                ..other.clone()
            }
    }
}
