//! A density in the plane with samples over it.

use plotters::prelude::*;

use super::Picture;
use super::axis::Axis;
use super::canvas::{COLORS, FONT, Pixels, draw};
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
pub fn density_samples(title: &str, grid: &Grid, samples: &[[f64; 2]]) -> Result<Picture, CliError> {
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
        let plane = chart.plotting_area();
        plane.strip_coord_spec().draw(&shades(grid, top, plane.dim_in_pixel()))?;
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

/// The density in pixels: as rectangles, cells would make an SVG of megabytes.
fn shades(grid: &Grid, top: f64, (width, height): (u32, u32)) -> Pixels {
    let cell = |pixel: u32, of: u32| pixel as usize * grid.n / of.max(1) as usize;
    let shade_of = |(i, j): (usize, usize)| match grid.log_density.get(j * grid.n + i) {
        Some(v) if *v > top - DEPTH => shade((v - top) / DEPTH + 1.0),
        _ => WHITE,
    };
    // The highest row of the grid is the first of the pixels.
    let pixels = (0..height).rev().flat_map(|y| (0..width).map(move |x| (cell(x, width), cell(y, height))));
    let bytes = pixels.map(shade_of).flat_map(|c| [c.0, c.1, c.2]).collect();
    Pixels { size: (width, height), bytes }
}

/// White to blue.
fn shade(level: f64) -> RGBColor {
    let mix = |a: f64, b: f64| (a + (b - a) * level.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(255.0, 120.0), mix(255.0, 160.0), mix(255.0, 220.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_png_and_an_svg_even_of_nothing() {
        let grid = Grid { log_density: &[0.0, -1.0, -2.0, f64::NEG_INFINITY], n: 2, low: -1.0, high: 1.0 };
        let picture = density_samples("a < b", &grid, &[[0.0, 0.0], [9.0, f64::NAN]]).unwrap();
        assert_eq!(&picture.png[1..4], b"PNG");
        let svg = String::from_utf8(picture.svg).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains(">a &lt; b<"), "{svg}");
        assert_eq!((svg.matches("<image ").count(), svg.matches("<circle ").count()), (1, 1));
        let nothing = Grid { log_density: &[], n: 0, low: -1.0, high: 1.0 };
        assert!(density_samples("", &nothing, &[]).is_ok());
    }
}
