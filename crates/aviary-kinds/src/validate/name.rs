//! Forms of names.
//!
//! Source: k8s.io/apimachinery `util/validation`.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX_PART: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";
const TOO_LONG_15: &str = "must be no more than 15 characters";
const TOO_LONG_63: &str = "must be no more than 63 characters";
const TOO_LONG_253: &str = "must be no more than 253 characters";

/// Lower-case letters, digits and dashes inside.
fn is_dns_part(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns_part)
}

/// Letters, digits, and `-_.` inside.
fn is_token(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn findings<const N: usize>(all: [(bool, &'static str); N]) -> Vec<&'static str> {
    all.into_iter()
        .filter_map(|(wrong, detail)| wrong.then_some(detail))
        .collect()
}

pub(super) fn label(text: &str) -> Vec<&'static str> {
    findings([(text.len() > 63, TOO_LONG_63), (!is_dns_part(text), LABEL)])
}

pub(super) fn subdomain(text: &str) -> Vec<&'static str> {
    findings([
        (text.len() > 253, TOO_LONG_253),
        (!is_subdomain(text), SUBDOMAIN),
    ])
}

pub(super) fn label_1035(text: &str) -> Vec<&'static str> {
    let letter = text.starts_with(|c: char| c.is_ascii_lowercase());
    findings([
        (text.len() > 63, TOO_LONG_63),
        (!is_dns_part(text) || !letter, LABEL_1035),
    ])
}

pub(super) fn label_value(text: &str) -> Vec<&'static str> {
    findings([
        (text.len() > 63, TOO_LONG_63),
        (!text.is_empty() && !is_token(text), LABEL_VALUE),
    ])
}

/// `[prefix/]name`, as label keys, annotation keys and finalizers are.
pub(super) fn qualified(text: &str) -> Vec<&'static str> {
    let mut all = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => return vec![QUALIFIED],
        Some((prefix, name)) => {
            if prefix.is_empty() {
                all.push("prefix part must be non-empty");
            } else if !is_subdomain(prefix) || prefix.len() > 253 {
                all.push(PREFIX_PART);
            }
            name
        }
    };
    if name.is_empty() {
        all.push("name part must be non-empty");
    } else if name.len() > 63 {
        all.push("name part must be no more than 63 characters");
    }
    if !is_token(name) {
        all.push(NAME_PART);
    }
    all
}

pub(super) fn port_name(text: &str) -> Vec<&'static str> {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    findings([
        (text.len() > 15, TOO_LONG_15),
        (
            !plain,
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            !text.chars().any(|c| c.is_ascii_lowercase()),
            "must contain at least one letter (a-z)",
        ),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (
            text.starts_with('-') || text.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ])
}

pub(super) fn config_key(text: &str) -> Vec<&'static str> {
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    findings([
        (text.len() > 253, TOO_LONG_253),
        (!plain, CONFIG_KEY),
        (text == ".", "must not be '.'"),
        (text.starts_with(".."), "must not start with '..'"),
    ])
}

pub(super) fn environment(text: &str) -> Vec<&'static str> {
    let plain = text.chars().all(|c| (' '..='~').contains(&c) && c != '=');
    findings([(!plain || text.is_empty(), ENV_NAME)])
}
