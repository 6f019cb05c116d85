//! Ranges of settings. An error is one line that names the key, its value and the range.

use std::fmt;

/// The values that a setting may have. None of them contains NaN or infinity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// From the first to the second, both included.
    Between(f64, f64),
    /// From the first, included, to the second, excluded.
    Below(f64, f64),
    /// From the first, excluded, to the second, included.
    Above(f64, f64),
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
}

impl Range {
    /// Whether `value` lies within.
    pub fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Between(low, high) => low <= value && value <= high,
                Self::Below(low, high) => low <= value && value < high,
                Self::Above(low, high) => low < value && value <= high,
                Self::Positive => value > 0.0,
                Self::NotNegative => value >= 0.0,
            }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(low, high) => write!(f, "must lie between {low} and {high}"),
            Self::Below(low, high) => write!(f, "must be at least {low} and below {high}"),
            Self::Above(low, high) => write!(f, "must be above {low} and at most {high}"),
            Self::Positive => write!(f, "must be a positive number"),
            Self::NotNegative => write!(f, "must not be negative"),
        }
    }
}

/// The first setting (key, value, range) whose value lies outside its range, as an error.
///
/// # Errors
/// "key = value must ...".
pub fn check(settings: &[(&str, f64, Range)]) -> Result<(), String> {
    match settings.iter().find(|(_, value, range)| !range.contains(*value)) {
        Some((key, value, range)) => Err(format!("{key} = {value} {range}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_outside_its_range_is_named() {
        let share = |value| {
            check(&[("hidden", 64.0, Range::Between(1.0, 128.0)), ("share", value, Range::Below(0.0, 1.0))])
        };
        assert_eq!(share(0.0), Ok(()));
        assert_eq!(share(1.0), Err("share = 1 must be at least 0 and below 1".into()));
        assert_eq!(share(f64::NAN), Err("share = NaN must be at least 0 and below 1".into()));
        let error = |range, value| check(&[("x", value, range)]).unwrap_err();
        assert_eq!(error(Range::Between(1.0, 16_384.0), 65_536.0), "x = 65536 must lie between 1 and 16384");
        assert_eq!(error(Range::Above(0.0, 1.0), 0.0), "x = 0 must be above 0 and at most 1");
        assert_eq!(error(Range::Positive, f64::INFINITY), "x = inf must be a positive number");
        assert_eq!(error(Range::NotNegative, -5.0), "x = -5 must not be negative");
    }
}
