//! Header edits.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use aviary_mesh::route::HeaderEdits;
use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};

use super::{Fault, Within, each, nothing_left};

/// Values are literal: `%` would start a command of Envoy's formatter.
pub(super) fn added(edits: &HeaderEdits) -> Vec<HeaderValueOption> {
    let all = |pairs: &[(String, String)], action: HeaderAppendAction| {
        let option = |(key, value): &(String, String)| HeaderValueOption {
            header: Some(HeaderValue {
                key: key.clone(),
                value: value.replace('%', "%%"),
                ..HeaderValue::default()
            }),
            append_action: action.into(),
            keep_empty_value: value.is_empty(),
            ..HeaderValueOption::default()
        };
        pairs.iter().map(option).collect::<Vec<_>>()
    };
    [
        all(&edits.set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        all(&edits.add, HeaderAppendAction::AppendIfExistsOrAdd),
        all(&edits.add_if_absent, HeaderAppendAction::AddIfAbsent),
        all(&edits.replace, HeaderAppendAction::OverwriteIfExists),
    ]
    .concat()
}

/// The edits in a pair of fields named `<prefix>_headers_to_add` and `<prefix>_headers_to_remove`.
pub(super) fn edits_of(
    prefix: &str,
    added: &mut Vec<HeaderValueOption>,
    removed: &mut Vec<String>,
) -> Result<HeaderEdits, Fault> {
    let mut edits = HeaderEdits {
        remove: std::mem::take(removed)
            .into_iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        ..HeaderEdits::default()
    };
    let field = format!("{prefix}_headers_to_add");
    each(&field, std::mem::take(added), |option| {
        add(&mut edits, option)
    })?;
    Ok(edits)
}

/// A header with an empty value is left out by Envoy unless it is to be kept.
fn add(edits: &mut HeaderEdits, mut option: HeaderValueOption) -> Result<(), Fault> {
    let mut header = option.header.take().unwrap_or_default();
    let name = std::mem::take(&mut header.key).to_ascii_lowercase();
    let value = literal(&std::mem::take(&mut header.value)).within("header.value")?;
    nothing_left(&header).within("header")?;
    let action = std::mem::take(&mut option.append_action);
    let append = option.append.take();
    let keep_empty = std::mem::take(&mut option.keep_empty_value);
    nothing_left(&option)?;
    if value.is_empty() && !keep_empty {
        return Ok(());
    }
    let list = match (HeaderAppendAction::try_from(action), append) {
        // The older field; it only counts when the newer one has its default.
        (Ok(HeaderAppendAction::AppendIfExistsOrAdd), Some(append)) if !append.value => {
            &mut edits.set
        }
        (Ok(HeaderAppendAction::AppendIfExistsOrAdd), _) => &mut edits.add,
        (Ok(HeaderAppendAction::OverwriteIfExistsOrAdd), _) => &mut edits.set,
        (Ok(HeaderAppendAction::AddIfAbsent), _) => &mut edits.add_if_absent,
        (Ok(HeaderAppendAction::OverwriteIfExists), _) => &mut edits.replace,
        (Err(_), _) => return Err(Fault::new("is not known").at("append_action")),
    };
    list.push((name, value));
    Ok(())
}

/// A value without commands.
fn literal(value: &str) -> Result<String, Fault> {
    let plain = value.replace("%%", "\0");
    if plain.contains('%') {
        return Err(Fault::new(format!(
            "`{value}` has a command operator, which is not supported; write `%%` for a percent sign"
        )));
    }
    Ok(plain.replace('\0', "%"))
}
