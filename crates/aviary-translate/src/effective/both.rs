//! Conditions that say what two say.

use std::collections::BTreeMap;

use aviary_api::virtual_service::{HttpMatch, StringMatch};

use crate::{
    overlay::{Both, strings},
    virtual_service::string,
};

type Conditions = BTreeMap<String, StringMatch>;

/// The condition that holds when both hold; `None` when that cannot be.
///
/// # Errors
/// What cannot be said with one condition.
pub(super) fn both(user: &HttpMatch, block: &HttpMatch) -> Result<Option<HttpMatch>, String> {
    let mut both = user.clone();
    let parts = [
        ("scheme", &mut both.scheme, &block.scheme),
        ("method", &mut both.method, &block.method),
        ("authority", &mut both.authority, &block.authority),
    ];
    for (name, own, other) in parts {
        if !narrow(name, own, other.as_ref())? {
            return Ok(None);
        }
    }
    if block.uri.is_some() {
        if both.uri.is_some() && (both.ignore_uri_case || block.ignore_uri_case) {
            return Err("two conditions on `uri`, one of them without case".to_owned());
        }
        both.ignore_uri_case |= block.ignore_uri_case;
        if !narrow("uri", &mut both.uri, block.uri.as_ref())? {
            return Ok(None);
        }
    }
    if !narrow_all("header", &mut both.headers, &block.headers)?
        || !narrow_all(
            "query parameter",
            &mut both.query_params,
            &block.query_params,
        )?
    {
        return Ok(None);
    }
    for (name, wanted) in &block.without_headers {
        match both.without_headers.get(name) {
            Some(known) if known == wanted => {}
            Some(_) => return Err(format!("two conditions in `withoutHeaders` on {name}")),
            None => {
                both.without_headers.insert(name.clone(), wanted.clone());
            }
        }
    }
    narrow_source(both, block)
}

/// Conditions on who calls, and for which port.
fn narrow_source(mut both: HttpMatch, block: &HttpMatch) -> Result<Option<HttpMatch>, String> {
    if !agree(&mut both.port, block.port) {
        return Ok(None);
    }
    // With gateways in the block, labels and namespace are not looked at.
    let looks = |it: &HttpMatch| !it.source_labels.is_empty() || !it.source_namespace.is_empty();
    if both.gateways.is_empty() != block.gateways.is_empty() && (looks(&both) || looks(block)) {
        return Err("`gateways` of one condition and the source of the other".to_owned());
    }
    if both.gateways.is_empty() {
        both.gateways.clone_from(&block.gateways);
    } else if !block.gateways.is_empty() {
        both.gateways.retain(|name| block.gateways.contains(name));
        if both.gateways.is_empty() {
            return Ok(None);
        }
    }
    for (name, value) in &block.source_labels {
        let known = both.source_labels.insert(name.clone(), value.clone());
        if known.is_some_and(|known| known != *value) {
            return Ok(None);
        }
    }
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut namespace = some(&both.source_namespace);
    if !agree(&mut namespace, some(&block.source_namespace)) {
        return Ok(None);
    }
    both.source_namespace = namespace.unwrap_or_default();
    Ok(Some(both))
}

fn agree<T: PartialEq>(own: &mut Option<T>, other: Option<T>) -> bool {
    match (&own, other) {
        (_, None) => true,
        (None, other) => {
            *own = other;
            true
        }
        (Some(own), Some(other)) => *own == other,
    }
}

fn narrow_all(what: &str, own: &mut Conditions, other: &Conditions) -> Result<bool, String> {
    for (name, wanted) in other {
        let mut condition = own.get(name).cloned();
        if !narrow(&format!("{what} {name}"), &mut condition, Some(wanted))? {
            return Ok(false);
        }
        own.extend(condition.map(|condition| (name.clone(), condition)));
    }
    Ok(true)
}

/// Tells whether a value can meet both.
fn narrow(
    what: &str,
    own: &mut Option<StringMatch>,
    other: Option<&StringMatch>,
) -> Result<bool, String> {
    let Some(other) = other else {
        return Ok(true);
    };
    // A condition without content asks for presence, which every other one does, too.
    let (Some(known), Some(wanted)) = (
        own.as_ref().map(string).transpose()?.flatten(),
        string(other)?,
    ) else {
        if own.as_ref().map(string).transpose()?.flatten().is_none() {
            *own = Some(other.clone());
        }
        return Ok(true);
    };
    match strings(&known, &wanted) {
        Both::Never => Ok(false),
        Both::One(one) => {
            if one == wanted {
                *own = Some(other.clone());
            }
            Ok(true)
        }
        Both::Two => Err(format!("two conditions on {what}")),
    }
}
