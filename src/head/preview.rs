//! Pictures for people: a part of a picture as 8-bit R'G'B'.
//!
//! The way of the networks that take RGB, rounded and clipped to what a screen shows. For reports, never for outputs.

use super::image::{ImageHead, PictureFacts, Scratch};
use crate::error::Result;
use crate::frame::{ColorTags, Picture};
use crate::model::{Channels, Element, Layout, NetworkFacts, Port, Tensor};
use crate::tile::Rect;

/// The area of `picture` as rows of R, G, B bytes, full range, without padding.
pub fn rgb8(picture: &Picture, color: ColorTags, area: Rect) -> Result<Vec<u8>> {
    let facts = PictureFacts { format: picture.format(), width: picture.width(), height: picture.height(), color };
    let head = ImageHead::new(&screen(), facts)?;
    let mut tensor = Tensor::new(Element::F32, [1, 3, area.height, area.width]);
    head.gather(picture, area, &mut tensor, 0, &mut Scratch::default())?;
    let values = tensor.as_f32();
    let n = area.width * area.height;
    let code = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
    Ok((0..n).flat_map(|pixel| [0, 1, 2].map(|channel| code(values[channel * n + pixel]))).collect())
}

/// A screen, as a network that gives back what it gets.
fn screen() -> NetworkFacts {
    let port = Port {
        name: String::new(),
        element: Element::F32,
        layout: Layout::Nchw,
        channels: Channels::Rgb,
        black: 0.0,
        white: 1.0,
    };
    NetworkFacts {
        input: port.clone(),
        output: port,
        scale: 1,
        radius: Some(0),
        multiple_of: 1,
        fixed_size: None,
        fixed_batch: None,
        detector: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorRange, PixelFormat, Pool};

    #[test]
    fn a_red_picture_is_red_on_the_screen() {
        // BT.601 limited red: Y 81, Cb 90, Cr 240 (ITU-R BT.601, rounded).
        let mut picture = Pool::new().picture(PixelFormat::yuv(1, 1, 8), 16, 12).unwrap();
        for (plane, code) in [81, 90, 240].into_iter().enumerate() {
            let mut plane = picture.plane_mut(plane);
            for y in 0..plane.height() {
                plane.row_bytes(y).fill(code);
            }
        }
        let color = ColorTags { matrix: 6, range: Some(ColorRange::Limited), ..ColorTags::NONE };
        let pixels = rgb8(&picture.freeze(), color, Rect::new(3, 1, 5, 4)).unwrap();
        assert_eq!(pixels.len(), 5 * 4 * 3);
        for pixel in pixels.chunks(3) {
            assert!(pixel[0] >= 253 && pixel[1] <= 1 && pixel[2] <= 1, "{pixel:?}");
        }
    }
}
