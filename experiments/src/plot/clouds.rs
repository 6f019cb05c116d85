//! Points of several classes in the plane, with edges between them.

use plotters::prelude::*;

use super::Picture;
use super::axis::Axis;
use super::canvas::{COLORS, FONT, draw};
use crate::run::error::CliError;

/// One picture of points.
pub struct Cloud {
    /// Above it.
    pub title: String,
    /// (x, y) of each point.
    pub points: Vec<[f64; 2]>,
    /// The class of each point: its colour.
    pub classes: Vec<u32>,
    /// Pairs of points to join.
    pub edges: Vec<(u32, u32)>,
    /// What the axes are.
    pub axes: [&'static str; 2],
    /// Whether both axes have one scale, as lengths in space want.
    pub to_scale: bool,
}

/// Most pictures in a row.
const ROW: usize = 3;

/// Pictures side by side, in rows of three.
pub fn clouds(parts: &[Cloud]) -> Result<Picture, CliError> {
    let columns = parts.len().clamp(1, ROW);
    let rows = parts.len().div_ceil(columns).max(1);
    draw((760 * columns as u32, 780 * rows as u32), |area| {
        for (area, cloud) in area.split_evenly((rows, columns)).iter().zip(parts) {
            let bounds = |k: usize| {
                let finite = cloud.points.iter().map(|p| p[k]).filter(|v| v.is_finite());
                let (low, high) =
                    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                (low, high)
            };
            let spans = [bounds(0), bounds(1)];
            let widest = spans.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
            let range = |k: usize| {
                let (low, high) = spans[k];
                let span = if cloud.to_scale { widest } else { high - low };
                let (centre, half) = (0.5 * (low + high), 0.56 * span.max(1e-9));
                if low <= high { centre - half..centre + half } else { 0.0..1.0 }
            };
            let mut chart = ChartBuilder::on(area)
                .caption(&cloud.title, (FONT, 24))
                .margin(14)
                .x_label_area_size(40)
                .y_label_area_size(56)
                .build_cartesian_2d(Axis::linear(range(0)), Axis::linear(range(1)))?;
            chart
                .configure_mesh()
                .disable_mesh()
                .x_desc(cloud.axes[0])
                .y_desc(cloud.axes[1])
                .label_style((FONT, 15))
                .axis_desc_style((FONT, 17))
                .draw()?;
            let place = |i: u32| {
                let p = cloud.points[i as usize];
                (p[0], p[1])
            };
            let line = RGBColor(120, 120, 120).mix(if cloud.edges.len() > 500 { 0.12 } else { 0.35 });
            chart.draw_series(
                cloud.edges.iter().map(|(u, v)| PathElement::new(vec![place(*u), place(*v)], line)),
            )?;
            let radius = if cloud.points.len() > 500 { 3 } else { 6 };
            chart.draw_series((0..cloud.points.len() as u32).map(|i| {
                let color = COLORS[cloud.classes[i as usize] as usize % COLORS.len()];
                Circle::new(place(i), radius, color.mix(0.85).filled())
            }))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_nothing_and_of_numbers_that_are_none() {
        let empty = Cloud {
            title: String::new(),
            points: vec![],
            classes: vec![],
            edges: vec![],
            axes: ["x", "y"],
            to_scale: true,
        };
        let odd = Cloud {
            title: "odd".into(),
            points: vec![[f64::NAN, 0.0], [1.0, 1.0]],
            classes: vec![0, 7],
            edges: vec![(0, 1)],
            axes: ["x", "y"],
            to_scale: false,
        };
        assert!(clouds(&[empty, odd]).unwrap().png.starts_with(b"\x89PNG"));
    }
}
