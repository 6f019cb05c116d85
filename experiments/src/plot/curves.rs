//! Curves against the training step, one panel below the other.

use plotters::prelude::*;

use super::Picture;
use super::axis::Axis;
use super::canvas::{Area, COLORS, FONT, draw};

use crate::run::error::CliError;

/// One curve.
pub struct Series {
    /// Its name in the legend; none if empty.
    pub name: String,
    /// (x, y); what is not finite is left out.
    pub points: Vec<(f64, f64)>,
    /// Drawn as a dashed level instead of a curve: a floor.
    pub floor: bool,
}

/// Curves that share their axes.
pub struct Panel {
    /// Label of the y axis.
    pub label: String,
    /// Logarithmic y axis; values that are not positive are left out.
    pub log: bool,
    /// The curves.
    pub series: Vec<Series>,
}

impl Panel {
    /// Whether no point of it can be drawn.
    pub fn is_blank(&self) -> bool {
        self.series.iter().all(|s| self.clean(s).is_empty())
    }

    /// The points that can be drawn; a logarithmic axis is drawn as a linear one of exponents.
    fn clean(&self, series: &Series) -> Vec<(f64, f64)> {
        let value = |y: f64| if self.log { y.log10() } else { y };
        let points = series.points.iter().map(|(x, y)| (*x, value(*y)));
        points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }
}

/// Panels of a picture, at the most: of so many it is 30000 pixels high.
const MOST: usize = 100;

/// A picture of `panels`, one below the other, over a common x axis.
pub fn panels(title: &str, x_label: &str, panels: &[Panel]) -> Result<Picture, CliError> {
    if panels.len() > MOST {
        let n = panels.len();
        return Err(CliError::usage(format!("{n} panels do not fit into a picture; {MOST} do, draw fewer")));
    }
    let height = 60 + 300 * panels.len().max(1) as u32;
    draw((1100, height), |area| {
        let area = area.margin(8, 0, 0, 0).titled(title, (FONT, 26))?;
        for (part, panel) in area.split_evenly((panels.len().max(1), 1)).iter().zip(panels) {
            draw_panel(part, x_label, panel)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, x_label: &str, panel: &Panel) -> Result<(), Box<dyn std::error::Error>> {
    let curves: Vec<_> = panel.series.iter().map(|s| panel.clean(s)).collect();
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        let all = curves.iter().flatten().map(pick);
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low < high {
            (low, high)
        } else if low == high {
            (low - 0.5, high + 0.5)
        } else {
            (0.0, 1.0)
        }
    };
    let ((x0, x1), (y0, y1)) = (bounds(|p| p.0), bounds(|p| p.1));
    let pad = 0.05 * (y1 - y0);
    let (low, high) = (y0 - pad, y1 + pad);
    let y_axis = if panel.log { Axis::logarithmic(low..high) } else { Axis::linear(low..high) };
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(30)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(Axis::linear(x0..x1), y_axis)?;
    chart
        .configure_mesh()
        .bold_line_style(BLACK.mix(0.1))
        .x_desc(x_label)
        .y_desc(panel.label.as_str())
        .label_style((FONT, 16))
        .axis_desc_style((FONT, 18))
        .draw()?;
    let names: Vec<&str> = panel.series.iter().map(|s| s.name.as_str()).filter(|n| !n.is_empty()).collect();
    let (width, height) = chart.plotting_area().dim_in_pixel();
    let pixel = |(x, y): &(f64, f64)| {
        let (across, down) = ((x - x0) / (x1 - x0), (high - y) / (high - low));
        (across * f64::from(width), down * f64::from(height))
    };
    let drawn: Vec<Vec<_>> = curves.iter().map(|c| c.iter().map(pixel).collect()).collect();
    let place = emptiest(&drawn, (width, height), legend_size(&names));
    for (k, (points, series)) in curves.into_iter().zip(&panel.series).enumerate() {
        let color = if series.floor { RGBColor(110, 110, 110) } else { COLORS[k % COLORS.len()] };
        let style = color.stroke_width(2);
        let drawn = if series.floor {
            chart.draw_series(DashedLineSeries::new(points, 8, 6, style))?
        } else {
            chart.draw_series(LineSeries::new(points, style))?
        };
        if !series.name.is_empty() {
            let floor = series.floor;
            drawn.label(series.name.as_str()).legend(move |(x, y)| {
                let line = [(x, y), (x + 22, y)];
                if floor {
                    plotters::element::DashedPathElement::new(line, 6, 2, style).into_dyn()
                } else {
                    PathElement::new(line, style).into_dyn()
                }
            });
        }
    }
    if !names.is_empty() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::Coordinate(place.0, place.1))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 16))
            .draw()?;
    }
    Ok(())
}

/// Pixels that a legend takes, about: a line, a name, a frame.
fn legend_size(names: &[&str]) -> (i32, i32) {
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0) as i32;
    (50 + 8 * longest, 14 + 20 * names.len() as i32)
}

/// Where the upper left corner of a legend lies that covers least of the curves in a panel, all in pixels from
/// the panel's upper left corner; of equal places a corner of the panel, the upper right one first.
fn emptiest(
    curves: &[Vec<(f64, f64)>],
    (width, height): (u32, u32),
    (across, down): (i32, i32),
) -> (i32, i32) {
    const MARGIN: i32 = 6;
    const STEPS: i32 = 24;
    let points: Vec<(f64, f64)> = curves.iter().flat_map(|c| filled(c)).collect();
    let room = |all: u32, own: i32| (all as i32 - own - 2 * MARGIN).max(0);
    let (wide, high) = (room(width, across), room(height, down));
    let at = |(i, j): (i32, i32)| (MARGIN + wide * (STEPS - i) / STEPS, MARGIN + high * j / STEPS);
    let covered = |(x, y): (i32, i32)| {
        let over = |v: f64, low: i32, size: i32| v > f64::from(low - 2) && v < f64::from(low + size + 2);
        points.iter().filter(|p| over(p.0, x, across) && over(p.1, y, down)).count()
    };
    let corners = [(0, 0), (0, STEPS), (STEPS, 0), (STEPS, STEPS)];
    let all = (0..=STEPS).flat_map(|j| (0..=STEPS).map(move |i| (i, j)));
    corners.into_iter().chain(all).map(at).min_by_key(|place| covered(*place)).unwrap_or((MARGIN, MARGIN))
}

/// A curve's points and those between them, a few pixels apart.
fn filled(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let between = |pair: &[(f64, f64)]| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let n = ((x1 - x0).hypot(y1 - y0) / 8.0).ceil() as u32;
        (1..=n)
            .map(move |k| f64::from(k) / f64::from(n))
            .map(move |t| (x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
    };
    curve.first().copied().into_iter().chain(curve.windows(2).flat_map(between)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_odd_series_do_not_panic() {
        let series = |points: Vec<(f64, f64)>, floor| Series { name: "s".into(), points, floor };
        let odd = vec![series(vec![], false), series(vec![(0.0, f64::NAN), (1.0, -1.0)], true)];
        let panel = Panel { label: "y".into(), log: true, series: odd };
        let png = panels("t", "step", std::slice::from_ref(&panel)).unwrap().png;
        assert_eq!(&png[1..4], b"PNG");
        assert!(panels("t", "step", &[]).is_ok());
        assert!(panel.is_blank() && !Panel { log: false, ..panel }.is_blank());
    }

    #[test]
    fn more_panels_than_fit_are_refused() {
        let empty = || Panel { label: String::new(), log: false, series: vec![] };
        let all: Vec<Panel> = (0..4400).map(|_| empty()).collect();
        let refused = panels("", "step", &all).unwrap_err().to_string();
        assert!(refused.starts_with("4400 panels do not fit"), "{refused}");
    }

    #[test]
    fn the_legend_keeps_away_from_the_curves() {
        let panel = (1000, 200);
        let lower_right = emptiest(&[vec![(0.0, 200.0), (1000.0, 0.0)]], panel, (100, 50));
        assert_eq!(lower_right, (894, 144));
        assert_eq!(emptiest(&[], panel, (100, 50)), (894, 6));
        // Both ends are full, and a high legend has room in the middle alone.
        let walls = [vec![(20.0, 0.0), (20.0, 200.0)], vec![(950.0, 0.0), (950.0, 200.0)]];
        let (x, _) = emptiest(&walls, panel, (100, 180));
        assert!(x > 20 && x + 100 < 950, "{x}");
        assert_eq!(emptiest(&walls, (50, 20), (100, 180)), (6, 6));
    }
}
