//! `%START_TIME(…)%`: a time written by a format like that of `strftime`, in UTC.

use std::time::{Duration, SystemTime};

use super::put::{number, padded};

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text(char),
    /// `%Y-%m-%dT%H:%M:%S`, which most formats have.
    Iso,
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

/// The parts that [`Part::Iso`] stands for.
const ISO: [Part; 11] = [
    Part::Year,
    Part::Text('-'),
    Part::Month,
    Part::Text('-'),
    Part::Day,
    Part::Text('T'),
    Part::Hour,
    Part::Text(':'),
    Part::Minute,
    Part::Text(':'),
    Part::Second,
];

/// A time taken apart; what is taken apart of one second serves all lines that began in it.
#[derive(Debug, Clone)]
pub struct Moment {
    since: Duration,
    days: u64,
    second: u64,
    year: u64,
    month: u64,
    day: u64,
    iso: Vec<u8>,
}

impl Default for Moment {
    fn default() -> Self {
        Self::of(Duration::ZERO)
    }
}

impl Moment {
    fn of(since: Duration) -> Self {
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        let mut moment = Self {
            since,
            days,
            second,
            year,
            month,
            day,
            iso: Vec::new(),
        };
        let mut iso = Vec::with_capacity(19);
        for part in ISO {
            part.put(&moment, &mut iso);
        }
        moment.iso = iso;
        moment
    }

    /// Goes to a time; times before 1970 become 1970.
    fn go(&mut self, time: SystemTime) {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        if since.as_secs() == self.since.as_secs() {
            self.since = since;
        } else {
            *self = Self::of(since);
        }
    }
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
        if let Some(at) = parts.windows(ISO.len()).position(|these| *these == ISO) {
            parts.splice(at..at + ISO.len(), [Part::Iso]);
        }
        Some(Self { parts })
    }

    /// Appends the time in this format; times before 1970 are written as 1970.
    pub(super) fn put(&self, time: SystemTime, moment: &mut Moment, line: &mut Vec<u8>) {
        moment.go(time);
        for part in &self.parts {
            part.put(moment, line);
        }
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
    fn put(self, at: &Moment, line: &mut Vec<u8>) {
        let hour = at.second / 3600;
        match self {
            Self::Text(character) => {
                line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Self::Iso => line.extend_from_slice(&at.iso),
            Self::Year => line.extend_from_slice(&padded::<4>(at.year)),
            Self::ShortYear => two(at.year, line),
            Self::Month => two(at.month, line),
            Self::MonthName => line.extend_from_slice(at.month_name().as_bytes()),
            Self::ShortMonthName => line.extend_from_slice(&at.month_name().as_bytes()[..3]),
            Self::Day => two(at.day, line),
            Self::SpacedDay => {
                if at.day < 10 {
                    line.push(b' ');
                }
                number(at.day, line);
            }
            Self::DayOfYear => {
                line.extend_from_slice(&padded::<3>(at.days - days_before(at.year) + 1));
            }
            Self::DayName => line.extend_from_slice(at.day_name().as_bytes()),
            Self::ShortDayName => line.extend_from_slice(&at.day_name().as_bytes()[..3]),
            Self::Hour => two(hour, line),
            Self::Hour12 => two((hour + 11) % 12 + 1, line),
            Self::HalfDay => line.extend_from_slice(if hour < 12 { b"AM" } else { b"PM" }),
            Self::Minute => two(at.second / 60 % 60, line),
            Self::Second => two(at.second % 60, line),
            Self::Epoch => number(at.since.as_secs(), line),
            Self::Fraction(3) => {
                line.extend_from_slice(&padded::<3>(u64::from(at.since.subsec_millis())));
            }
            Self::Fraction(digits) => {
                let nanos = padded::<9>(u64::from(at.since.subsec_nanos()));
                let wanted = nanos.get(..usize::from(digits));
                line.extend_from_slice(wanted.unwrap_or(&nanos));
            }
            Self::Offset => line.extend_from_slice(b"+0000"),
            Self::Zone => line.extend_from_slice(b"UTC"),
        }
    }
}

fn two(number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(&padded::<2>(number));
}

impl Moment {
    fn month_name(&self) -> &'static str {
        // Months are 1 to 12.
        MONTHS[usize::try_from(self.month - 1).unwrap_or_default()]
    }

    fn day_name(&self) -> &'static str {
        // The first of January 1970 was a Thursday.
        DAYS[usize::try_from((self.days + 4) % 7).unwrap_or_default()]
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
        let mut line = Vec::new();
        let mut moment = Moment::default();
        // The second time from what was kept.
        for _ in 0..2 {
            line.clear();
            Stamp::new(format)
                .unwrap()
                .put(time, &mut moment, &mut line);
        }
        String::from_utf8(line).unwrap()
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
