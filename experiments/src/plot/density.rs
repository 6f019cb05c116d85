//! A density in the plane with samples over it.

use plotters::prelude::*;

use super::axis::Axis;
use super::canvas::{COLORS, FONT, draw};
use super::contour::segments;
use crate::run::error::CliError;

/// A log density on a regular grid over a square.
pub struct Grid<'a> {
    /// `n * n` values, x fastest.
    pub log_density: &'a [f64],
    /// Points along an axis.
    pub n: usize,
    /// The square is [low, high]^2.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// A picture of the density as shades and contours, of `samples` (x, y pairs) as points.
pub fn density_samples(title: &str, grid: &Grid, samples: &[[f64; 2]]) -> Result<Vec<u8>, CliError> {
    draw((1000, 1000), |area| {
        let (low, high) = (grid.low, grid.high);
        let axis = || Axis::linear(low..high);
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 26))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(axis(), axis())?;
        let top =
            grid.log_density.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        let cell = (high - low) / grid.n.max(2) as f64;
        let place = |k: f64| low + (k + 0.5) * cell;
        chart.draw_series(grid.log_density.iter().enumerate().filter(|(_, v)| **v > top - DEPTH).map(
            |(k, v)| {
                let (i, j) = ((k % grid.n) as f64, (k / grid.n) as f64);
                let corner = |di: f64| (low + (i + di) * cell, low + (j + di) * cell);
                Rectangle::new([corner(0.0), corner(1.0)], shade((v - top) / DEPTH + 1.0).filled())
            },
        ))?;
        for below in [0.5, 2.0, 4.5, 8.0] {
            let lines = segments(grid.log_density, grid.n, grid.n, top - below);
            let style = RGBColor(90, 90, 130).mix(0.5);
            chart.draw_series(
                lines
                    .into_iter()
                    .map(|s| PathElement::new(s.map(|(i, j)| (place(i), place(j))).to_vec(), style)),
            )?;
        }
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc("x")
            .y_desc("y")
            .label_style((FONT, 17))
            .axis_desc_style((FONT, 20))
            .draw()?;
        let inside = samples.iter().filter(|p| p.iter().all(|v| *v >= low && *v <= high));
        chart.draw_series(inside.map(|p| Circle::new((p[0], p[1]), 2, COLORS[1].mix(0.55).filled())))?;
        Ok(())
    })
}

/// Natural-log units below the highest density that still have a shade.
const DEPTH: f64 = 12.0;

/// White to blue.
fn shade(level: f64) -> RGBColor {
    let mix = |a: f64, b: f64| (a + (b - a) * level.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(255.0, 120.0), mix(255.0, 160.0), mix(255.0, 220.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_png_even_of_nothing() {
        let grid = Grid { log_density: &[0.0, -1.0, -2.0, f64::NEG_INFINITY], n: 2, low: -1.0, high: 1.0 };
        let png = density_samples("test", &grid, &[[0.0, 0.0], [9.0, f64::NAN]]).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let nothing = Grid { log_density: &[], n: 0, low: -1.0, high: 1.0 };
        assert!(density_samples("", &nothing, &[]).is_ok());
    }
}
