//! The normal forms of paths and hosts.

use aviary_http::host::{self, Port};
use aviary_http::path::{EscapedSlashes, Normal, Normalize, normalize};

/// Reads `data`: a first byte that says what is asked for, and a path or a host.
pub fn run(data: &[u8]) {
    let (number, data) = crate::number(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let wanted = Normalize {
        dots: number & 1 != 0,
        merge_slashes: number & 2 != 0,
        escaped_slashes: match number >> 2 & 3 {
            0 => EscapedSlashes::Keep,
            1 => EscapedSlashes::Reject,
            2 => EscapedSlashes::UnescapeAndRedirect,
            _ => EscapedSlashes::UnescapeAndForward,
        },
    };
    path(text, wanted);
    let port = match number % 3 {
        0 => Port::Keep,
        1 => Port::Strip,
        _ => Port::StripMatching(80),
    };
    if let Some(normal) = host::normalize(text, port, number & 1 != 0) {
        assert!(normal.len() <= text.len());
        assert_eq!(normal, normal.to_ascii_lowercase());
    }
}

fn path(text: &str, wanted: Normalize) {
    let normal = match normalize(text, wanted) {
        Ok(Normal::Changed(path) | Normal::Redirect(path)) => path,
        Ok(Normal::Same) => text.to_owned(),
        Err(_) => return,
    };
    assert!(normal.len() <= 3 * text.len() + 1);
    assert_eq!(
        normal.split_once('?').map(|(_, query)| query),
        text.split_once('?').map(|(_, query)| query),
        "the query is left alone"
    );
    if !text.starts_with('/') {
        assert_eq!(normal, text);
        return;
    }
    assert!(normal.starts_with('/'));
    if wanted.dots {
        assert_eq!(normalize(&normal, wanted), Ok(Normal::Same), "{normal:?}");
        let only = normal.split('?').next().unwrap_or_default();
        let has_dots = only
            .split('/')
            .any(|segment| matches!(segment.split(';').next(), Some("." | "..")));
        assert!(!has_dots, "{normal:?}");
    }
}
