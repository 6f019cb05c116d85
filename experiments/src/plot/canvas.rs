//! What pictures are drawn on, bitmap and SVG at once, with their font and their colours.

use std::sync::Once;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Drawable, PointCollection};
use plotters::style::{FontStyle, RGBColor, register_font};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

use super::Picture;
use super::svg::Svg;
use crate::run::error::CliError;

/// Series colours, distinguishable with impaired colour vision (Okabe and Ito 2008, and two darker ones).
pub(super) const COLORS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
    RGBColor(120, 60, 180),
    RGBColor(130, 75, 50),
];

/// The font's name.
pub(super) const FONT: &str = "sans-serif";

pub(super) type Area<'a> = DrawingArea<Canvas<'a>, Shift>;

/// Draws on a white `width x height` canvas.
pub(super) fn draw(
    size: (u32, u32),
    body: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Picture, CliError> {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        let font = include_bytes!("../../assets/DejaVuSans-subset.ttf");
        // A font that is part of the program is not malformed; without it labels would be missing.
        let _ = register_font(FONT, FontStyle::Normal, font);
    });
    let mut pixels = vec![255; 3 * size.0 as usize * size.1 as usize];
    let mut svg = String::new();
    let picture = |e: &dyn std::fmt::Display| CliError::Failed(format!("a picture cannot be drawn: {e}"));
    {
        let canvas =
            Canvas { bitmap: BitMapBackend::with_buffer(&mut pixels, size), svg: Svg::new(&mut svg, size) };
        let area = canvas.into_drawing_area();
        body(&area).map_err(|e| picture(&e))?;
        area.present().map_err(|e| picture(&e))?;
    }
    let png = png(size, &pixels).map_err(|e| picture(&e))?;
    Ok(Picture { png, svg: svg.into_bytes() })
}

/// Pixels of three bytes each as PNG.
fn png((width, height): (u32, u32), pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Hands everything to both.
pub(super) struct Canvas<'a> {
    bitmap: BitMapBackend<'a>,
    svg: Svg<'a>,
}

type Drawn<'a> = Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

/// The width of a line, none for what is filled.
fn width<S: BackendStyle>(style: &S, fill: bool) -> Option<u32> {
    (!fill).then(|| style.stroke_width())
}

impl<'a> DrawingBackend for Canvas<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.bitmap.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn<'a> {
        self.bitmap.ensure_prepared()
    }

    fn present(&mut self) -> Drawn<'a> {
        self.svg.finish();
        self.bitmap.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn<'a> {
        self.svg.rectangle((point, (point.0 + 1, point.1 + 1)), color, None);
        self.bitmap.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn<'a> {
        self.svg.path(&[from, to], style.color(), width(style, false));
        self.bitmap.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn<'a> {
        self.svg.rectangle((upper_left, bottom_right), style.color(), width(style, fill));
        self.bitmap.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn<'a> {
        let points: Vec<BackendCoord> = path.into_iter().collect();
        self.svg.path(&points, style.color(), width(style, false));
        self.bitmap.draw_path(points, style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn<'a> {
        self.svg.circle(center, radius, style.color(), width(style, fill));
        self.bitmap.draw_circle(center, radius, style, fill)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn<'a> {
        let points: Vec<BackendCoord> = vert.into_iter().collect();
        self.svg.path(&points, style.color(), None);
        self.bitmap.fill_polygon(points, style)
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, pos: BackendCoord) -> Drawn<'a> {
        self.svg.text(text, style, pos);
        self.bitmap.draw_text(text, style, pos)
    }

    fn blit_bitmap(&mut self, pos: BackendCoord, size: (u32, u32), pixels: &[u8]) -> Drawn<'a> {
        let bytes = png(size, pixels).map_err(|e| DrawingErrorKind::FontError(Box::new(e)))?;
        self.svg.image(pos, size, &bytes);
        self.bitmap.blit_bitmap(pos, size, pixels)
    }
}

/// Pixels of three bytes each, from the upper left corner of an area on.
pub(super) struct Pixels {
    pub size: (u32, u32),
    pub bytes: Vec<u8>,
}

/// Where they begin.
const CORNER: [BackendCoord; 1] = [(0, 0)];

impl<'a> PointCollection<'a, BackendCoord> for &'a Pixels {
    type Point = &'a BackendCoord;
    type IntoIter = &'a [BackendCoord];

    fn point_iter(self) -> &'a [BackendCoord] {
        &CORNER
    }
}

impl<'a> Drawable<Canvas<'a>> for Pixels {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut points: I,
        backend: &mut Canvas<'a>,
        _: (u32, u32),
    ) -> Drawn<'a> {
        points.next().map_or(Ok(()), |corner| backend.blit_bitmap(corner, self.size, &self.bytes))
    }
}
