//! Tables of figures for the terminal and for Markdown.

use serde::Serializer;

/// Aligned columns with a rule under the header.
pub fn plain(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], k: usize| row.get(k).cloned().unwrap_or_default();
    let width = |k: usize| {
        rows.iter().map(|r| cell(r, k).chars().count()).max().unwrap_or(0).max(header[k].chars().count())
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells: Vec<String> =
            widths.iter().enumerate().map(|(k, w)| format!("{:<w$}", cell(row, k))).collect();
        cells.join("  ").trim_end().to_string() + "\n"
    };
    let header: Vec<String> = header.iter().map(|h| h.to_string()).collect();
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    line(&header) + &line(&rule) + &rows.iter().map(|r| line(r)).collect::<String>()
}

/// A number with as many digits as its spread makes sensible: `4.93 +- 0.21`.
pub fn figure(value: f64, sd: Option<f64>) -> String {
    if value.abs() >= 1e9 && value.is_finite() {
        return sd.map_or(format!("{value:.2e}"), |sd| format!("{value:.2e} +- {sd:.1e}"));
    }
    let scale = sd.filter(|s| *s > 0.0).unwrap_or(value.abs() / 100.0);
    let digits = if scale > 0.0 { (1 - scale.log10().floor() as i32).clamp(0, 6) as usize } else { 0 };
    match sd {
        Some(sd) => format!("{value:.digits$} +- {sd:.digits$}"),
        None => format!("{value:.digits$}"),
    }
}

/// The shortest text that reads back as the same number; the very small and very large with an exponent, so
/// that 1e-300 is no line of zeros.
pub fn shortest(v: f64) -> String {
    if v.abs() < 1e15 && v == v.trunc() { format!("{v}") } else { format!("{v:?}") }
}

/// The same as a field of a csv row; what is not a number is `nan`.
///
/// # Errors
/// Those of the serializer.
pub fn number<S: Serializer>(v: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let text = if v.is_nan() { "nan".into() } else { shortest(*v) };
    serializer.serialize_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let t = plain(&["a", "bb"], &[vec!["xyz".into(), "1".into()], vec!["".into(), "22".into()]]);
        assert_eq!(t, "a    bb\n---  --\nxyz  1\n     22\n");
    }

    #[test]
    fn digits_follow_the_spread() {
        assert_eq!(figure(4.9312, Some(0.214)), "4.93 +- 0.21");
        assert_eq!(figure(40.0, Some(0.0)), "40.00 +- 0.00");
        assert_eq!(figure(6.8612, None), "6.861");
    }

    #[test]
    fn the_shortest_text_reads_back() {
        for (v, text) in [(3.0, "3"), (0.1, "0.1"), (-1.5e-7, "-1.5e-7"), (1e300, "1e300"), (0.0, "0")] {
            assert_eq!(shortest(v), text);
            assert_eq!(text.parse::<f64>(), Ok(v));
        }
        assert_eq!(shortest(f64::NAN), "NaN");
    }
}
