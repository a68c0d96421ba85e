//! Values as text, appended without a detour over strings of their own.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value as Json;

/// How a value stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// Control characters and quotes escaped: a client must not be able to write lines of its own.
    /// Envoy leaves quotes as they are.
    Escaped,
    /// The inside of a JSON string and its closing quote; the opening one is there.
    Json,
}

/// A number in decimal.
pub(super) fn number(number: u64, line: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(small) => octet(small, line),
        Err(_) => large(number, line),
    }
}

/// A number of at most three digits.
fn octet(number: u8, line: &mut Vec<u8>) {
    let digits = [
        b'0' + number / 100,
        b'0' + number / 10 % 10,
        b'0' + number % 10,
    ];
    let [_, tens, ones] = digits;
    match number {
        0..10 => line.push(ones),
        10..100 => line.extend_from_slice(&[tens, ones]),
        100.. => line.extend_from_slice(&digits),
    }
}

fn large(number: u64, line: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = number;
    let mut zeros = digits.len();
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        zeros -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(digits.get(zeros..).unwrap_or_default());
}

/// The last digits of a number, with zeros before it.
pub(super) fn padded<const N: usize>(number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits.
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    digits
}

/// An address of a host.
pub(super) fn ip(address: IpAddr, line: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            octet(first, line);
            for part in rest {
                line.push(b'.');
                octet(part, line);
            }
        }
        // Nothing can go wrong with memory to write to.
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// An address with its port.
pub(super) fn address(address: SocketAddr, line: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(_) => {
            ip(address.ip(), line);
            line.push(b':');
            number(u64::from(address.port()), line);
        }
        SocketAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

/// Brings what was appended from `start` on to its form and to at most `limit` bytes before that.
/// Mostly there is nothing to do, which one look over the bytes tells.
pub(super) fn settle(line: &mut Vec<u8>, start: usize, limit: Option<usize>, form: Form) {
    let value = line.get(start..).unwrap_or_default();
    if limit.is_none_or(|limit| value.len() <= limit) && form.keeps(value) {
        if form == Form::Json {
            line.push(b'"');
        }
        return;
    }
    rewrite(line, start, limit, form);
}

#[cold]
fn rewrite(line: &mut Vec<u8>, start: usize, limit: Option<usize>, form: Form) {
    let value = line.split_off(start);
    let text = String::from_utf8_lossy(&value);
    let text = cut(&text, limit);
    match form {
        Form::Plain => line.extend_from_slice(text.as_bytes()),
        Form::Escaped => {
            for character in text.chars() {
                match character {
                    '"' => line.extend_from_slice(b"\\\""),
                    control if control.is_control() => {
                        drop(write!(line, "\\x{:02x}", u32::from(control)));
                    }
                    other => {
                        line.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
            }
        }
        Form::Json => {
            let quoted = quoted(text);
            line.extend_from_slice(quoted.strip_prefix('"').unwrap_or_default().as_bytes());
        }
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, limit: Option<usize>) -> &str {
    let limit = limit.unwrap_or(usize::MAX).min(text.len());
    let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}

impl Form {
    /// Whether a value is right as it is, by eight bytes at a time.
    fn keeps(self, value: &[u8]) -> bool {
        if self == Self::Plain {
            return true;
        }
        // Backslashes mean something in JSON only.
        let other = if self == Self::Json { b'\\' } else { b'"' };
        let Some(last) = value.last_chunk() else {
            let mut padded = [b' '; 8];
            for (place, byte) in padded.iter_mut().zip(value) {
                *place = *byte;
            }
            return is_plain(padded, other);
        };
        let (words, _) = value.as_chunks();
        words.iter().all(|word| is_plain(*word, other)) && is_plain(*last, other)
    }
}

/// Whether eight bytes are all printable ASCII and neither a quote nor `other`.
///
/// Source: the tests for a zero byte and a lesser byte of "Bit Twiddling Hacks" by Sean Eron
/// Anderson.
fn is_plain(bytes: [u8; 8], other: u8) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let word = u64::from_le_bytes(bytes);
    let below = |word: u64, limit: u64| word.wrapping_sub(limit * EACH) & !word;
    let equal = |byte: u8| below(word ^ (u64::from(byte) * EACH), 1);
    let above = word.wrapping_add(EACH) | word;
    (below(word, 0x20) | above | equal(b'"') | equal(other)) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(value: &[u8], limit: Option<usize>, form: Form) -> String {
        let mut line = b"<".to_vec();
        line.extend_from_slice(value);
        settle(&mut line, 1, limit, form);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn number_and_padded_are_decimal() {
        for value in [0, 7, 10, 99, 100, u64::MAX] {
            let mut line = Vec::new();
            number(value, &mut line);
            assert_eq!(line, value.to_string().as_bytes());
        }
        assert_eq!(padded::<4>(26), *b"0026");
        assert_eq!(padded::<2>(1234), *b"34");
    }

    #[test]
    fn address_is_written_as_by_the_standard_library() {
        for text in [
            "10.0.255.7:80",
            "0.0.0.0:0",
            "[::1]:5",
            "[2001:db8::7]:65535",
        ] {
            let value: SocketAddr = text.parse().unwrap();
            let mut line = Vec::new();
            address(value, &mut line);
            line.push(b' ');
            ip(value.ip(), &mut line);
            assert_eq!(
                String::from_utf8(line).unwrap(),
                format!("{text} {}", value.ip())
            );
        }
    }

    #[test]
    fn settle_changes_only_what_a_form_does_not_take() {
        for (value, form, want) in [
            (&b"plain ~ \\"[..], Form::Escaped, "<plain ~ \\"),
            (b"a\"b\n\x7f", Form::Escaped, "<a\\\"b\\x0a\\x7f"),
            ("ä\u{85}".as_bytes(), Form::Escaped, "<ä\\x85"),
            (b"\xff", Form::Escaped, "<\u{fffd}"),
            (b"a\"\n", Form::Plain, "<a\"\n"),
            (b"plain", Form::Json, "<plain\""),
            (b"a\\b\"\n\x7f", Form::Json, "<a\\\\b\\\"\\n\x7f\""),
            ("ä".as_bytes(), Form::Json, "<ä\""),
            (b"", Form::Json, "<\""),
            (
                b"more than eight\x1f",
                Form::Escaped,
                "<more than eight\\x1f",
            ),
            (
                b"\xffmore than eight",
                Form::Escaped,
                "<\u{fffd}more than eight",
            ),
        ] {
            assert_eq!(settled(value, None, form), want);
        }
    }

    #[test]
    fn keeps_is_the_same_wherever_a_byte_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..19 {
                let mut value = [b'a'; 19];
                value[at] = byte;
                let plain = (b' '..=b'~').contains(&byte) && byte != b'"';
                assert_eq!(Form::Escaped.keeps(&value[..=at]), plain, "{byte} at {at}");
                assert_eq!(
                    Form::Json.keeps(&value),
                    plain && byte != b'\\',
                    "{byte} at {at}"
                );
            }
        }
    }

    #[test]
    fn settle_over_the_limit_ends_at_a_character() {
        assert_eq!(settled(b"abc", Some(3), Form::Escaped), "<abc");
        assert_eq!(settled(b"abcd", Some(3), Form::Plain), "<abc");
        assert_eq!(settled("aäö".as_bytes(), Some(4), Form::Json), "<aä\"");
        assert_eq!(settled("ä".as_bytes(), Some(1), Form::Escaped), "<");
    }
}
