//! Axes, where their ticks stand, and what they say.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

/// Ticks of an axis, at the most.
const MOST: usize = 10;

/// An axis with ticks at round numbers.
pub(super) struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    /// Whether places are exponents of ten.
    log: bool,
}

impl Axis {
    /// Places are what is drawn.
    pub fn linear(range: Range<f64>) -> Self {
        Self { ticks: linear(range.start, range.end), range, log: false }
    }

    /// Places are exponents of ten of what is drawn.
    pub fn logarithmic(range: Range<f64>) -> Self {
        Self { ticks: logarithmic(range.start, range.end), range, log: true }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        first.saturating_add((share * f64::from(last - first)).round() as i32)
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        // No lines between those of the ticks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, place: &f64) -> String {
        short(if self.log { 10f64.powf(*place) } else { *place })
    }
}

/// Multiples of 1, 2 or 5 times a power of ten within [low, high].
fn linear(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / MOST as f64;
    if !(least > 0.0 && least.is_finite()) {
        return Vec::new();
    }
    let unit = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|m| m * unit).into_iter().find(|s| *s >= least).unwrap_or(10.0 * unit);
    // Whole multiples, so that a tick at zero is zero and not what is left of a sum of steps.
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Exponents of ten for the ticks of a logarithmic axis over [10^low, 10^high]: whole ones, or over less than
/// three powers of ten those of 1, 2 and 5 times such a power, or over still less those of even distances.
fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    if high - low >= 3.0 {
        return linear(low, high).into_iter().filter(|e| e.fract() == 0.0).collect();
    }
    let powers = low.floor() as i32..=high.floor() as i32;
    let round = powers.flat_map(|e| [1.0, 2.0, 5.0].map(|m: f64| m.log10() + f64::from(e)));
    let round: Vec<f64> = round.filter(|e| *e >= low && *e <= high).collect();
    if round.len() > 2 {
        return round;
    }
    linear(10f64.powf(low), 10f64.powf(high)).into_iter().filter(|v| *v > 0.0).map(f64::log10).collect()
}

/// A number in at most about six characters.
fn short(v: f64) -> String {
    let a = v.abs();
    if a == 0.0 {
        "0".into()
    } else if !(1e-3..1e5).contains(&a) {
        format!("{v:.1e}")
    } else {
        let digits = (2 - a.log10().floor() as i32).clamp(0, 5) as usize;
        let text = format!("{v:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ticks: Vec<f64>) -> Vec<String> {
        ticks.into_iter().map(short).collect()
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(said(linear(-0.06, 0.2)), ["-0.05", "0", "0.05", "0.1", "0.15", "0.2"]);
        assert_eq!(said(linear(-8.1, 4.9)), ["-8", "-6", "-4", "-2", "0", "2", "4"]);
        assert_eq!(said(linear(3.0, 8.1)), ["3", "4", "5", "6", "7", "8"]);
        assert!(linear(1.0, 1.0).is_empty() && linear(f64::NAN, 1.0).is_empty());
    }

    #[test]
    fn logarithmic_ticks_are_round_numbers() {
        let said = |low: f64, high: f64| -> Vec<String> {
            logarithmic(low.log10(), high.log10()).into_iter().map(|e| short(10f64.powf(e))).collect()
        };
        assert_eq!(said(0.3, 60.0), ["0.5", "1", "2", "5", "10", "20", "50"]);
        assert_eq!(said(0.42, 1.9), ["0.6", "0.8", "1", "1.2", "1.4", "1.6", "1.8"]);
        assert_eq!(said(0.5, 3e3), ["1", "10", "100", "1000"]);
        assert_eq!(said(1e-12, 1.0), ["1.0e-12", "1.0e-10", "1.0e-8", "1.0e-6", "1.0e-4", "0.01", "1"]);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(1500.0), "1500");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(1e-7), "1.0e-7");
    }
}
