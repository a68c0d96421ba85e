//! The date of replies, written once a second.

use std::cell::Cell;
use std::time::SystemTime;

/// Dates in the form of HTTP.
#[derive(Debug)]
pub(crate) struct Dates {
    known: Cell<(u64, Text)>,
}

impl Default for Dates {
    fn default() -> Self {
        Self {
            known: Cell::new((0, write(0))),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
type Text = [u8; 29];

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY: u64 = 86_400;

impl Dates {
    /// The date of `now`.
    pub(crate) fn text(&self, now: SystemTime) -> Text {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        let (known, text) = self.known.get();
        if known == seconds {
            return text;
        }
        let text = write(seconds);
        self.known.set((seconds, text));
        text
    }
}

/// Source: RFC 9110 section 5.6.7.
fn write(seconds: u64) -> Text {
    let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
    let (day, second) = (seconds / DAY, seconds % DAY);
    let (year, month, day_of_month) = civil(day);
    // Remainders index their tables.
    text[..3].copy_from_slice(DAYS[usize::try_from(day % 7).unwrap_or_default()]);
    text[8..11].copy_from_slice(MONTHS[usize::try_from(month - 1).unwrap_or_default()]);
    put(&mut text[5..7], day_of_month);
    put(&mut text[12..16], year);
    put(&mut text[17..19], second / 3600);
    put(&mut text[20..22], second / 60 % 60);
    put(&mut text[23..25], second % 60);
    text
}

fn put(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
}

/// Year, month and day of month of a day since 1970.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn text_has_the_form_of_http() {
        let dates = Dates::default();
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(std::str::from_utf8(&dates.text(now)).unwrap(), text);
            assert_eq!(std::str::from_utf8(&dates.text(now)).unwrap(), text);
        }
    }
}
