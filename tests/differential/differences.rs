//! Where we differ from Envoy on purpose. Each must occur in the run, or it has no place here.

use crate::compare::Mismatch;
use crate::request::Request;

/// A deliberate difference.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    /// Why it is better so.
    pub(crate) reason: &'static str,
    /// Whether a mismatch is of this kind.
    pub(crate) explains: fn(&Request, &Mismatch) -> bool,
}

/// All of them.
pub(crate) const DIFFERENCES: [Difference; 1] = [Difference {
    name: "names of headers go on as they came",
    reason: "heads are forwarded as untouched byte runs; names are not case-sensitive (RFC 9110 §5.1)",
    explains: |_, mismatch| {
        mismatch.what.starts_with("name as sent ")
            && mismatch.envoy.eq_ignore_ascii_case(&mismatch.ours)
    },
}];
