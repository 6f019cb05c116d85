//! Pictures as SVG: what is drawn, element by element, as text.
//!
//! A group `<g>` holds what has one style, so that thousands of points and of pieces of a contour take some twenty
//! bytes each. Letters stay letters, in the font of the bitmap where a reader has it, and in another one without serifs
//! elsewhere. The same picture is the same bytes.

use std::fmt::Write;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, FontTransform};

/// The font of the bitmaps, and what comes near it.
const FONTS: &str = "'DejaVu Sans',Verdana,'Bitstream Vera Sans',Geneva,Arial,sans-serif";
/// Ascent and descent of that font, which a size in the bitmaps means, in units of the size that SVG means.
const LINE: f64 = 1.164;

/// A picture that grows at its end.
pub(super) struct Svg<'a> {
    text: &'a mut String,
    /// The attributes of the group that is open.
    group: String,
}

impl<'a> Svg<'a> {
    /// An empty picture on white, written to `text`.
    pub fn new(text: &'a mut String, (width, height): (u32, u32)) -> Self {
        put(
            text,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
                 viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\">\n\
                 <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
            ),
        );
        Self { text, group: String::new() }
    }

    /// Ends the picture.
    pub fn finish(&mut self) {
        self.within(String::new());
        self.text.push_str("</svg>\n");
    }

    /// What comes next has these attributes.
    fn within(&mut self, attributes: String) {
        if attributes == self.group {
            return;
        }
        if !self.group.is_empty() {
            self.text.push_str("</g>\n");
        }
        if !attributes.is_empty() {
            put(self.text, format_args!("<g {attributes}>\n"));
        }
        self.group = attributes;
    }

    /// A line through points; closed and filled, or with a width.
    pub fn path(&mut self, points: &[BackendCoord], color: BackendColor, width: Option<u32>) {
        let Some((first, others)) = points.split_first().filter(|_| color.alpha > 0.0) else { return };
        self.within(paint(color, width));
        put(self.text, format_args!("<path d=\"M{} {}", first.0, first.1));
        for (k, (x, y)) in others.iter().enumerate() {
            // What follows the first letter needs none.
            put(self.text, format_args!("{}{x} {y}", if k == 0 { 'L' } else { ' ' }));
        }
        self.text.push_str(if width.is_none() { "z\"/>\n" } else { "\"/>\n" });
    }

    pub fn rectangle(
        &mut self,
        corners: (BackendCoord, BackendCoord),
        color: BackendColor,
        width: Option<u32>,
    ) {
        if color.alpha <= 0.0 {
            return;
        }
        let ((x0, y0), (x1, y1)) = corners;
        let (x, y, w, h) = (x0.min(x1), y0.min(y1), x0.abs_diff(x1), y0.abs_diff(y1));
        self.within(paint(color, width));
        put(self.text, format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>\n"));
    }

    pub fn circle(&mut self, (x, y): BackendCoord, radius: u32, color: BackendColor, width: Option<u32>) {
        if color.alpha > 0.0 {
            self.within(paint(color, width));
            // Pixels reach half of their size farther than their middle.
            let half = if width.is_none() { ".5" } else { "" };
            put(self.text, format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}{half}\"/>\n"));
        }
    }

    /// Pixels as they are: an image within the picture.
    pub fn image(&mut self, (x, y): BackendCoord, (width, height): (u32, u32), png: &[u8]) {
        self.within(String::new());
        put(
            self.text,
            format_args!(
                "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
                 href=\"data:image/png;base64,{}\"/>\n",
                base64(png)
            ),
        );
    }

    pub fn text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) {
        let (color, anchor) = (style.color(), style.anchor());
        if color.alpha <= 0.0 || text.is_empty() {
            return;
        }
        let across = match anchor.h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        // From the anchor down to the line that letters stand on.
        let down = match anchor.v_pos {
            VPos::Top => 0.62,
            VPos::Center => 0.28,
            VPos::Bottom => -0.35,
        };
        let size = style.size() / LINE;
        self.within(format!("{} font-size=\"{}\" text-anchor=\"{across}\"", paint(color, None), short(size)));
        let turned = match style.transform() {
            FontTransform::None => 0,
            FontTransform::Rotate90 => 90,
            FontTransform::Rotate180 => 180,
            FontTransform::Rotate270 => 270,
        };
        let place = match turned {
            0 => format!("x=\"{x}\" y=\"{}\"", short(f64::from(y) + down * size)),
            _ => format!("transform=\"translate({x} {y})rotate({turned})\" y=\"{}\"", short(down * size)),
        };
        put(self.text, format_args!("<text {place}>{}</text>\n", escaped(text)));
    }
}

/// Writing to a string does not fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// Attributes of what is filled, or of a line with a width.
fn paint(color: BackendColor, width: Option<u32>) -> String {
    let (r, g, b) = color.rgb;
    let opacity = |name: &str| match color.alpha < 1.0 {
        true => format!(" {name}=\"{}\"", short(color.alpha)),
        false => String::new(),
    };
    match width {
        None => format!("fill=\"#{r:02x}{g:02x}{b:02x}\"{}", opacity("fill-opacity")),
        Some(width) => format!(
            "fill=\"none\" stroke=\"#{r:02x}{g:02x}{b:02x}\" stroke-width=\"{width}\"{}",
            opacity("stroke-opacity")
        ),
    }
}

/// Bytes as letters, six bits each (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |k: usize| u32::from(three.get(k).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for k in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * k)) as usize & 63]);
            out.push(if k <= three.len() { letter } else { '=' });
        }
    }
    out
}

/// At most two digits behind the point.
fn short(v: f64) -> String {
    let text = format!("{v:.2}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Text between tags, or as the value of an attribute: what means something in XML and HTML is written as its name.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Neither XML nor HTML has these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: BackendColor = BackendColor { alpha: 1.0, rgb: (0, 0, 0) };

    #[test]
    fn what_has_one_style_is_one_group() {
        let mut text = String::new();
        let mut svg = Svg::new(&mut text, (30, 20));
        let pale = BackendColor { alpha: 0.25, ..BLACK };
        svg.circle((1, 2), 3, BLACK, None);
        svg.circle((4, 5), 3, BLACK, None);
        svg.path(&[(0, 0), (1, 0), (1, 1)], pale, Some(2));
        svg.path(&[], BLACK, None);
        svg.rectangle(((5, 9), (2, 1)), BLACK, None);
        svg.circle((4, 5), 3, BackendColor { alpha: 0.0, ..BLACK }, None);
        svg.finish();
        let body: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            body,
            [
                "<g fill=\"#000000\">",
                "<circle cx=\"1\" cy=\"2\" r=\"3.5\"/>",
                "<circle cx=\"4\" cy=\"5\" r=\"3.5\"/>",
                "</g>",
                "<g fill=\"none\" stroke=\"#000000\" stroke-width=\"2\" stroke-opacity=\"0.25\">",
                "<path d=\"M0 0L1 0 1 1\"/>",
                "</g>",
                "<g fill=\"#000000\">",
                "<rect x=\"2\" y=\"1\" width=\"3\" height=\"8\"/>",
                "</g>",
                "</svg>",
            ]
        );
    }

    #[test]
    fn bytes_become_the_letters_of_rfc_4648() {
        for (bytes, letters) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), letters);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b> & \"c'\" é\u{1}"), "a&lt;b&gt; &amp; &quot;c&#39;&quot; é\u{fffd}");
    }
}
