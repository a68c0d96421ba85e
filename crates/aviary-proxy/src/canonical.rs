//! The one form of a request's path and host that rules, logs and servers see.

use aviary_http::host::{self, Port};
use aviary_http::path::{self, EscapedSlashes, Normal, Normalize};
use aviary_mesh::listener::{self, HttpChain, PathForm, StripPort};

/// What a chain makes of a request's path and host before its rules see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canonical {
    /// They are seen like this.
    Seen {
        /// Path with query.
        path: String,
        /// Host, and port if it stays.
        authority: String,
    },
    /// The client is sent to this path, with 307.
    Redirect(String),
    /// There is no such form: 400.
    Refused,
}

/// The form that `chain` gives to a path and a host that arrived for `port`.
pub fn canonical(chain: &HttpChain, port: u16, path: &str, authority: &str) -> Canonical {
    let path = match path::normalize(path, path_form(chain.path)) {
        Ok(Normal::Same) => path.to_owned(),
        Ok(Normal::Changed(path)) => path,
        Ok(Normal::Redirect(path)) => return Canonical::Redirect(path),
        Err(_) => return Canonical::Refused,
    };
    let authority = host::normalize(authority, port_form(chain.strip_port, port), false)
        .unwrap_or_else(|| authority.to_owned());
    Canonical::Seen { path, authority }
}

/// How paths are brought to their form.
pub(crate) fn path_form(wanted: PathForm) -> Normalize {
    Normalize {
        dots: wanted.normalize,
        merge_slashes: wanted.merge_slashes,
        escaped_slashes: match wanted.escaped_slashes {
            listener::EscapedSlashes::Keep => EscapedSlashes::Keep,
            listener::EscapedSlashes::Reject => EscapedSlashes::Reject,
            listener::EscapedSlashes::Redirect => EscapedSlashes::UnescapeAndRedirect,
            listener::EscapedSlashes::Decode => EscapedSlashes::UnescapeAndForward,
        },
    }
}

/// What becomes of a host's port, at a listener of this port.
pub(crate) fn port_form(wanted: StripPort, port: u16) -> Port {
    match wanted {
        StripPort::Keep => Port::Keep,
        StripPort::Matching => Port::StripMatching(port),
        StripPort::Any => Port::Strip,
    }
}
