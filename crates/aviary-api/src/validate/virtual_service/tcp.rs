//! Rules of `tcp`.

use super::{Findings, check_destination};
use crate::virtual_service::TcpRoute;

pub(super) fn check(path: &str, rule: &TcpRoute, found: &mut Findings) {
    if rule.route.is_empty() {
        found.add(format!("{path}.route"), "is empty; name a destination");
    }
    for (i, matches) in rule.matches.iter().enumerate() {
        if let Some(port) = matches.port {
            found.port(&format!("{path}.match[{i}].port"), port);
        }
    }
    for (i, branch) in rule.route.iter().enumerate() {
        let path = format!("{path}.route[{i}]");
        check_destination(&format!("{path}.destination"), &branch.destination, found);
        if branch.weight < 0 || u32::try_from(branch.weight).is_err() {
            let reason = format!("{} is not a weight", branch.weight);
            found.add(format!("{path}.weight"), reason);
        }
    }
    if rule.route.len() > 1 && rule.route.iter().all(|branch| branch.weight <= 0) {
        found.add(format!("{path}.route"), "the weights add up to 0");
    }
}
