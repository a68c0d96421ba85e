//! Rules of `corsPolicy`.

use super::{Findings, is_header_name};
use crate::virtual_service::CorsPolicy;

pub(super) fn check(path: &str, cors: &CorsPolicy, found: &mut Findings) {
    for (i, origin) in cors.allow_origins.iter().enumerate() {
        if let Some(regex) = &origin.regex {
            found.regex(&format!("{path}.allowOrigins[{i}].regex"), regex);
        } else if origin.exact.is_none() && origin.prefix.is_none() {
            let reason = "is empty; set `exact`, `prefix` or `regex`";
            found.add(format!("{path}.allowOrigins[{i}]"), reason);
        }
    }
    for (i, method) in cors.allow_methods.iter().enumerate() {
        if !is_header_name(method) {
            let reason = format!("`{method}` is not a method");
            found.add(format!("{path}.allowMethods[{i}]"), reason);
        }
    }
    for (list, names) in [
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        for (i, name) in names.iter().enumerate() {
            if !is_header_name(name) {
                let reason = format!("`{name}` is not a header name");
                found.add(format!("{path}.{list}[{i}]"), reason);
            }
        }
    }
    found.seconds(&format!("{path}.maxAge"), cors.max_age.as_deref());
}
