//! Who reads: a name in a cookie. There are no passwords; this is a demonstration.

use http::{HeaderMap, header};

/// Longest name.
const NAME_MAX: usize = 64;

/// The reader's name in the session cookie.
pub(crate) fn user(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("session="))
        .and_then(name)
}

/// The `set-cookie` value that signs `user` in, or out without a user.
pub(crate) fn cookie(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("session={user}; Path=/; HttpOnly; SameSite=Lax"),
        None => "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax".to_owned(),
    }
}

/// The field `username` of a form or query, when it is a plain name.
pub(crate) fn username(form: &str) -> Option<String> {
    form.split('&')
        .find_map(|pair| pair.strip_prefix("username="))
        .and_then(name)
}

/// Letters, digits, `-`, `_` and `.` need no escapes in cookies and headers; nothing else is a name.
fn name(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!text.is_empty() && text.len() <= NAME_MAX && text.chars().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{cookie, user, username};

    #[test]
    fn user_is_found_among_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "a=b; session=jason".parse().unwrap());
        assert_eq!(user(&headers).as_deref(), Some("jason"));
        assert!(cookie(Some("jason")).starts_with("session=jason;"));
    }

    #[test]
    fn username_that_is_no_plain_name_is_refused() {
        assert_eq!(username("username=jason&passwd=").as_deref(), Some("jason"));
        assert_eq!(username("username=a%0d%0ab"), None);
        assert_eq!(username("username="), None);
    }
}
