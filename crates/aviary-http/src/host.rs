//! The normal form of a host: what virtual hosts and policies are asked with.

#[cfg(test)]
mod tests;

/// What becomes of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Port {
    /// It stays, also when it is the default of the scheme.
    #[default]
    Keep,
    /// It goes when it is this one, the listener's.
    StripMatching(u16),
    /// It goes.
    Strip,
}

/// Splits host and port; the port is what follows the last colon, when that is a number and the
/// colon is not part of an IPv6 address.
///
/// Source: Envoy `HeaderUtility::getPortStart`.
pub fn split(authority: &str) -> (&str, Option<u16>) {
    let whole = (authority, None);
    let colon = authority.bytes().rposition(|byte| byte == b':');
    let Some((host, port)) = colon.and_then(|at| authority.split_at_checked(at)) else {
        return whole;
    };
    let port = port.strip_prefix(':').unwrap_or_default();
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole;
    }
    // An address without brackets is all host.
    if host.contains(':') && !host.ends_with(']') {
        return whole;
    }
    match port.parse() {
        Ok(port) => (host, Some(port)),
        Err(_) => whole,
    }
}

/// The normal form of an authority, or `None` when it has it: lower case, without the port that
/// `port` takes away, and with `strip_dot` without the dot at the end of the name.
///
/// Source: Envoy `strip_any_host_port`, `strip_matching_host_port` and `strip_trailing_host_dot`.
/// Envoy keeps the case in what it forwards, and folds it only for matching.
pub fn normalize(authority: &str, port: Port, strip_dot: bool) -> Option<String> {
    let (host, given) = split(authority);
    let kept = given.filter(|given| match port {
        Port::Keep => true,
        Port::StripMatching(own) => *given != own,
        Port::Strip => false,
    });
    let name = if strip_dot && host.len() > 1 {
        host.strip_suffix('.').unwrap_or(host)
    } else {
        host
    };
    let upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
    if !upper && name.len() == host.len() && kept == given {
        return None;
    }
    let mut normal = name.to_ascii_lowercase();
    if kept.is_some() {
        normal.push_str(authority.get(host.len()..).unwrap_or_default());
    }
    Some(normal)
}
