//! Quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! Source: k8s.io/apimachinery `api/resource` (grammar and canonical form).

/// A parsed quantity, exact to the milli-unit (finer values are rounded up, as the real server
/// does).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    /// Thousandths of the unit.
    milli: i128,
    format: Format,
}

/// The family of suffixes that the text used; it is kept when written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];
/// Suffix and power of ten of a milli-unit.
const DECIMAL: [(&str, u32); 8] = [
    ("m", 0),
    ("", 3),
    ("k", 6),
    ("M", 9),
    ("G", 12),
    ("T", 15),
    ("P", 18),
    ("E", 21),
];

impl Quantity {
    /// Reads a quantity; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let digits_end = text
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && "+-".contains(*c))))
            .map_or(text.len(), |(at, _)| at);
        let (number, suffix) = text.split_at(digits_end);
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (format, twos, tens) = scale(suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        // milli = digits * 2^twos * 10^(tens - places), rounded away from zero.
        let fraction: String = fraction.chars().take(18).collect();
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let mut milli = digits
            .checked_shl(twos)
            .filter(|shifted| shifted >> twos == digits)?;
        let power = tens - places;
        let ten = 10_i128.checked_pow(power.unsigned_abs())?;
        if power >= 0 {
            milli = milli.checked_mul(ten)?;
        } else {
            milli = milli / ten + i128::from(milli % ten != 0);
        }
        Some(Self {
            milli: if negative { -milli } else { milli },
            format,
        })
    }

    /// Thousandths of the unit.
    pub fn milli(self) -> i128 {
        self.milli
    }

    /// The shortest text in the family of the original suffix: `1500m`, `2`, `1536Mi`.
    pub fn canonical(self) -> String {
        let whole = self.milli % 1000 == 0;
        match self.format {
            Format::Binary if whole && self.milli.abs() >= 1024 * 1000 => {
                let units = self.milli / 1000;
                let fits = |twos: &u32| units % (1_i128 << twos) == 0;
                match BINARY.iter().rev().find(|(_, twos)| fits(twos)) {
                    Some((suffix, twos)) => format!("{}{suffix}", units >> twos),
                    None => units.to_string(),
                }
            }
            Format::Exponent if whole => {
                let mut units = self.milli / 1000;
                let mut power = 0;
                while units != 0 && units % 1000 == 0 {
                    units /= 1000;
                    power += 3;
                }
                if power == 0 {
                    units.to_string()
                } else {
                    format!("{units}e{power}")
                }
            }
            _ => self.decimal(),
        }
    }

    fn decimal(self) -> String {
        if self.milli == 0 {
            return "0".to_owned();
        }
        let fits = |tens: &u32| self.milli % 10_i128.pow(*tens) == 0;
        let found = DECIMAL.iter().rev().find(|(_, tens)| fits(tens));
        let (suffix, tens) = found.copied().unwrap_or(("m", 0));
        format!("{}{suffix}", self.milli / 10_i128.pow(tens))
    }
}

/// Family, power of two, and power of ten of a milli-unit.
fn scale(suffix: &str) -> Option<(Format, u32, i32)> {
    if let Some((_, twos)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Binary, *twos, 3));
    }
    match suffix {
        "n" => return Some((Format::Decimal, 0, -6)),
        "u" => return Some((Format::Decimal, 0, -3)),
        _ => {}
    }
    if let Some((_, tens)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Decimal, 0, i32::try_from(*tens).ok()?));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Format::Exponent, 0, power.checked_add(3)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantity_canonical_form_is_the_servers() {
        for (text, canonical) in [
            ("0", "0"),
            ("1", "1"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("1.5", "1500m"),
            ("2000", "2k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("100Mi", "100Mi"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("0.1m", "1m"),
            ("-1", "-1"),
            ("1000Ki", "1000Ki"),
            (".5", "500m"),
        ] {
            let quantity = Quantity::parse(text).unwrap_or_else(|| panic!("{text} is a quantity"));
            assert_eq!(quantity.canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn quantity_nonsense_is_none() {
        for text in ["", "m", "1x", "1.2.3", "1 Gi", "abc", "1ee3", "-", "1e"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
