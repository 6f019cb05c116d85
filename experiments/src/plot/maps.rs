//! Maps of a figure over two numbers: cells with a colour, and a line over them.

use plotters::prelude::*;

use super::Picture;
use super::axis::Axis;
use super::canvas::{Area, FONT, draw};
use crate::run::error::CliError;

/// A figure over two numbers.
pub struct Map {
    /// Above it.
    pub title: String,
    /// Label of the x axis.
    pub x_label: String,
    /// Label of the y axis.
    pub y_label: String,
    /// Places of the columns, increasing.
    pub x: Vec<f64>,
    /// Places of the rows, increasing.
    pub y: Vec<f64>,
    /// Whether the axes are logarithmic.
    pub log: (bool, bool),
    /// The figure in each cell, row by row; what is not finite is left grey.
    pub values: Vec<f64>,
    /// The figures of the first and the last colour.
    pub colours: (f64, f64),
    /// A line over the cells.
    pub line: Vec<(f64, f64)>,
}

/// A picture of maps, `columns` of them beside each other.
pub fn maps(title: &str, columns: usize, all: &[Map]) -> Result<Picture, CliError> {
    let columns = columns.max(1);
    let rows = all.len().div_ceil(columns).max(1);
    draw((480 * columns as u32, 60 + 360 * rows as u32), |area| {
        let area = area.margin(8, 0, 0, 0).titled(title, (FONT, 26))?;
        for (part, map) in area.split_evenly((rows, columns)).iter().zip(all) {
            draw_map(part, map)?;
        }
        Ok(())
    })
}

/// Where cells begin and end: half-way between their places.
fn borders(places: &[f64]) -> Vec<f64> {
    match places {
        [] => vec![0.0, 1.0],
        [one] => vec![one - 0.5, one + 0.5],
        _ => {
            let middle = places.windows(2).map(|p| 0.5 * (p[0] + p[1]));
            let (n, first, last) = (places.len(), places[0], places[places.len() - 1]);
            let before = first - 0.5 * (places[1] - first);
            let behind = last + 0.5 * (last - places[n - 2]);
            [before].into_iter().chain(middle).chain([behind]).collect()
        }
    }
}

fn draw_map(area: &Area<'_>, map: &Map) -> Result<(), Box<dyn std::error::Error>> {
    let place = |v: f64, log: bool| if log { v.log10() } else { v };
    let borders_of =
        |places: &[f64], log| borders(&places.iter().map(|v| place(*v, log)).collect::<Vec<_>>());
    let (x, y) = (borders_of(&map.x, map.log.0), borders_of(&map.y, map.log.1));
    let axis = |ends: &[f64], log: bool| {
        let range = ends[0]..ends[ends.len() - 1];
        if log { Axis::logarithmic(range) } else { Axis::linear(range) }
    };
    let (width, _) = area.dim_in_pixel();
    let (body, bar) = area.split_horizontally(width as i32 - 70);
    let mut chart = ChartBuilder::on(&body)
        .caption(&map.title, (FONT, 18))
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(58)
        .build_cartesian_2d(axis(&x, map.log.0), axis(&y, map.log.1))?;
    let cells = map.values.iter().enumerate().filter(|(k, _)| k / map.x.len() < map.y.len());
    chart.draw_series(cells.map(|(k, v)| {
        let (i, j) = (k % map.x.len(), k / map.x.len());
        Rectangle::new([(x[i], y[j]), (x[i + 1], y[j + 1])], colour(share(*v, map.colours)).filled())
    }))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc(map.x_label.as_str())
        .y_desc(map.y_label.as_str())
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .draw()?;
    let inside =
        |(a, b): &(f64, f64)| *a >= x[0] && *a <= x[x.len() - 1] && *b >= y[0] && *b <= y[y.len() - 1];
    let line = map.line.iter().map(|(a, b)| (place(*a, map.log.0), place(*b, map.log.1))).filter(inside);
    let line: Vec<(f64, f64)> = line.collect();
    chart.draw_series(DashedLineSeries::new(line.clone(), 8, 5, WHITE.stroke_width(4)))?;
    chart.draw_series(DashedLineSeries::new(line, 8, 5, BLACK.stroke_width(2)))?;
    draw_bar(&bar, map.colours)
}

/// The scale of the colours.
fn draw_bar(area: &Area<'_>, (low, high): (f64, f64)) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(36)
        .margin_bottom(48)
        .margin_left(6)
        .right_y_label_area_size(44)
        .build_cartesian_2d(0.0..1.0, Axis::linear(low..high))?;
    let steps = 60;
    let at = |k: i32| low + (high - low) * f64::from(k) / f64::from(steps);
    chart.draw_series((0..steps).map(|k| {
        let middle = 0.5 * (at(k) + at(k + 1));
        Rectangle::new([(0.0, at(k)), (1.0, at(k + 1))], colour(share(middle, (low, high))).filled())
    }))?;
    chart.configure_mesh().disable_mesh().disable_x_axis().label_style((FONT, 14)).draw()?;
    Ok(())
}

/// Where a figure lies between the first and the last colour; none if it is not finite.
fn share(v: f64, (low, high): (f64, f64)) -> Option<f64> {
    (!v.is_nan()).then(|| ((v - low) / (high - low)).clamp(0.0, 1.0))
}

/// Dark blue over green to yellow, of even lightness for impaired colour vision too; grey for nothing.
fn colour(share: Option<f64>) -> RGBColor {
    const STOPS: [[f64; 3]; 5] = [
        [40.0, 30.0, 90.0],
        [45.0, 90.0, 150.0],
        [40.0, 145.0, 140.0],
        [130.0, 200.0, 90.0],
        [250.0, 230.0, 70.0],
    ];
    let Some(share) = share else { return RGBColor(200, 200, 200) };
    let scaled = share * (STOPS.len() - 1) as f64;
    let k = (scaled as usize).min(STOPS.len() - 2);
    let mix = |c: usize| (STOPS[k][c] + (scaled - k as f64) * (STOPS[k + 1][c] - STOPS[k][c])) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(x: Vec<f64>, y: Vec<f64>, values: Vec<f64>) -> Map {
        Map {
            title: "t".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            x,
            y,
            log: (true, false),
            values,
            colours: (0.0, 1.0),
            line: vec![(0.1, 1.0), (f64::NAN, 2.0), (1e9, 3.0)],
        }
    }

    #[test]
    fn a_picture_is_a_png_even_of_little() {
        let full =
            map(vec![0.1, 1.0, 10.0], vec![1.0, 2.0], vec![0.0, 0.5, f64::NAN, 1.0, 2.0, f64::INFINITY]);
        let one = map(vec![1.0], vec![1.0], vec![0.5]);
        let png = maps("title", 2, &[full, one, map(vec![], vec![], vec![])]).unwrap().png;
        assert_eq!(&png[1..4], b"PNG");
        assert!(maps("", 0, &[]).is_ok());
    }

    #[test]
    fn cells_end_half_way() {
        assert_eq!(borders(&[1.0, 2.0, 4.0]), [0.5, 1.5, 3.0, 5.0]);
        assert_eq!(borders(&[3.0]), [2.5, 3.5]);
    }

    #[test]
    fn colours_have_their_ends() {
        assert_eq!(colour(share(-9.0, (0.0, 1.0))), RGBColor(40, 30, 90));
        assert_eq!(colour(share(9.0, (0.0, 1.0))), RGBColor(250, 230, 70));
        assert_eq!(colour(share(f64::NAN, (0.0, 1.0))), RGBColor(200, 200, 200));
    }
}
