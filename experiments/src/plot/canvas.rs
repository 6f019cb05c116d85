//! The bitmap that pictures are drawn on, their font and their colours.

use std::sync::Once;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::style::{FontStyle, RGBColor, register_font};

use crate::run::error::CliError;

/// Series colours, distinguishable with impaired colour vision (Okabe and Ito 2008).
pub(super) const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
];

/// The font's name.
pub(super) const FONT: &str = "sans-serif";

pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws on a white `width x height` bitmap and returns it as PNG.
pub(super) fn draw(
    (width, height): (u32, u32),
    body: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Vec<u8>, CliError> {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        let font = include_bytes!("../../assets/DejaVuSans-subset.ttf");
        // A font that is part of the program is not malformed; without it labels would be missing.
        let _ = register_font(FONT, FontStyle::Normal, font);
    });
    let mut pixels = vec![255; 3 * width as usize * height as usize];
    let picture = |e: &dyn std::fmt::Display| CliError::Failed(format!("a picture cannot be drawn: {e}"));
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        body(&area).map_err(|e| picture(&e))?;
        area.present().map_err(|e| picture(&e))?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|e| picture(&e))?;
    writer.write_image_data(&pixels).map_err(|e| picture(&e))?;
    writer.finish().map_err(|e| picture(&e))?;
    Ok(bytes)
}
