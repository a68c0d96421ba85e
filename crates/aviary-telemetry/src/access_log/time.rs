//! `%START_TIME(…)%`: a time written by a format like that of `strftime`, in UTC.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text(char),
    Year,
    ShortYear,
    Month,
    MonthName,
    ShortMonthName,
    Day,
    SpacedDay,
    DayOfYear,
    DayName,
    ShortDayName,
    Hour,
    Hour12,
    HalfDay,
    Minute,
    Second,
    Epoch,
    /// Digits of the second's fraction, 1 to 9.
    Fraction(u8),
    Offset,
    Zone,
}

/// Envoy's format when none is given.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A time taken apart.
struct Calendar {
    since: Duration,
    days: u64,
    second: u64,
    year: u64,
    month: u64,
    day: u64,
}

impl Stamp {
    /// Compiles a format; `None` for a specifier that is not known.
    ///
    /// Source: Envoy `DateFormatter` (`%f`, `%3f`, `%s`, …) over `absl::FormatTime`.
    pub(super) fn new(format: Option<&str>) -> Option<Self> {
        let mut parts = Vec::new();
        let mut characters = format.unwrap_or(DEFAULT).chars();
        while let Some(character) = characters.next() {
            if character == '%' {
                specifier(&mut characters, &mut parts)?;
            } else {
                parts.push(Part::Text(character));
            }
        }
        Some(Self { parts })
    }

    /// The time in this format; times before 1970 are written as 1970.
    pub(super) fn text(&self, time: SystemTime) -> String {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        let calendar = Calendar {
            since,
            days,
            second,
            year,
            month,
            day,
        };
        let mut text = String::with_capacity(32);
        for part in &self.parts {
            part.write(&calendar, &mut text);
        }
        text
    }
}

fn specifier(characters: &mut std::str::Chars<'_>, parts: &mut Vec<Part>) -> Option<()> {
    use Part::{Day, Fraction, Hour, Minute, Month, Second, ShortYear, Text, Year};
    let single = match characters.next()? {
        'Y' => Year,
        'y' => ShortYear,
        'm' => Month,
        'B' => Part::MonthName,
        'b' | 'h' => Part::ShortMonthName,
        'd' => Day,
        'e' => Part::SpacedDay,
        'j' => Part::DayOfYear,
        'A' => Part::DayName,
        'a' => Part::ShortDayName,
        'H' => Hour,
        'I' => Part::Hour12,
        'p' => Part::HalfDay,
        'M' => Minute,
        'S' => Second,
        's' => Part::Epoch,
        'f' => Fraction(9),
        'z' => Part::Offset,
        'Z' => Part::Zone,
        'n' => Text('\n'),
        't' => Text('\t'),
        '%' => Text('%'),
        'F' => {
            parts.extend([Year, Text('-'), Month, Text('-'), Day]);
            return Some(());
        }
        'T' => {
            parts.extend([Hour, Text(':'), Minute, Text(':'), Second]);
            return Some(());
        }
        'R' => {
            parts.extend([Hour, Text(':'), Minute]);
            return Some(());
        }
        'D' => {
            parts.extend([Month, Text('/'), Day, Text('/'), ShortYear]);
            return Some(());
        }
        'E' => {
            // absl's `%E3S`: seconds with a fraction.
            let digits = characters.next().and_then(digit)?;
            (characters.next()? == 'S').then_some(())?;
            parts.extend([Second, Text('.'), Fraction(digits)]);
            return Some(());
        }
        other => {
            let digits = digit(other)?;
            (characters.next()? == 'f').then_some(())?;
            Fraction(digits)
        }
    };
    parts.push(single);
    Some(())
}

fn digit(character: char) -> Option<u8> {
    let digit = u8::try_from(character.to_digit(10)?).ok()?;
    (digit > 0).then_some(digit)
}

impl Part {
    fn write(self, at: &Calendar, text: &mut String) {
        let hour = at.second / 3600;
        let index = |number: u64| usize::try_from(number).unwrap_or_default();
        let month = || MONTHS.get(index(at.month - 1)).copied().unwrap_or_default();
        // The first of January 1970 was a Thursday.
        let day = || {
            DAYS.get(index((at.days + 4) % 7))
                .copied()
                .unwrap_or_default()
        };
        let _ = match self {
            Self::Text(character) => write!(text, "{character}"),
            Self::Year => write!(text, "{:04}", at.year),
            Self::ShortYear => write!(text, "{:02}", at.year % 100),
            Self::Month => write!(text, "{:02}", at.month),
            Self::MonthName => write!(text, "{}", month()),
            Self::ShortMonthName => write!(text, "{:.3}", month()),
            Self::Day => write!(text, "{:02}", at.day),
            Self::SpacedDay => write!(text, "{:2}", at.day),
            Self::DayOfYear => write!(text, "{:03}", at.days - days_before(at.year) + 1),
            Self::DayName => write!(text, "{}", day()),
            Self::ShortDayName => write!(text, "{:.3}", day()),
            Self::Hour => write!(text, "{hour:02}"),
            Self::Hour12 => write!(text, "{:02}", (hour + 11) % 12 + 1),
            Self::HalfDay => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
            Self::Minute => write!(text, "{:02}", at.second / 60 % 60),
            Self::Second => write!(text, "{:02}", at.second % 60),
            Self::Epoch => write!(text, "{}", at.since.as_secs()),
            Self::Fraction(digits) => {
                let nanos = format!("{:09}", at.since.subsec_nanos());
                write!(text, "{:.*}", usize::from(digits), nanos)
            }
            Self::Offset => write!(text, "+0000"),
            Self::Zone => write!(text, "UTC"),
        };
    }
}

/// Days from 1970-01-01 to the first day of a year.
fn days_before(year: u64) -> u64 {
    let before = year - 1;
    365 * (year - 1970) + (before / 4 - before / 100 + before / 400) - 477
}

/// Year, month and day of a count of days since 1970-01-01 (the Gregorian calendar in eras of
/// 400 years that begin in March, so that the leap day comes last).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Option<&str>, millis: u64) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Stamp::new(format).unwrap().text(time)
    }

    #[test]
    fn text_formats_are_those_of_strftime() {
        let millis = 1_795_255_201_045;
        for (format, want) in [
            (None, "2026-11-21T10:00:01.045Z"),
            (
                Some("%Y/%m/%dT%H:%M:%S%z %s"),
                "2026/11/21T10:00:01+0000 1795255201",
            ),
            (Some("%s.%3f"), "1795255201.045"),
            (Some("%s.%9f %f"), "1795255201.045000000 045000000"),
            (Some("%E3S"), "01.045"),
            (Some("%a, %d %b %Y %T %Z"), "Sat, 21 Nov 2026 10:00:01 UTC"),
            (
                Some("%A %B %e %j %I%p %y %%"),
                "Saturday November 21 325 10AM 26 %",
            ),
            (Some("%F %R %D"), "2026-11-21 10:00 11/21/26"),
        ] {
            assert_eq!(text(format, millis), want);
        }
        assert_eq!(text(Some("%I %p %j"), 0), "12 AM 001");
        assert_eq!(text(Some("%j"), 951_782_400_000), "060");
    }

    #[test]
    fn new_unknown_specifier_is_refused() {
        for format in ["%Q", "%", "%0f", "%3", "%E3", "%EY"] {
            assert_eq!(Stamp::new(Some(format)), None, "{format}");
        }
    }

    #[test]
    fn civil_leap_days_and_centuries_are_right() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_513), (2026, 3, 1));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }
}
