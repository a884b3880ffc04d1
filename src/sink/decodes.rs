//! Whether the pictures of an output can be decoded: an encoder and a container that both work may still make a file
//! together that nobody can show.

use std::path::Path;

use super::verify::wrong;
use crate::av::{Decoded, Decoder, Input, InputOptions};
use crate::error::{Context, Result};

/// Decodes the first picture of stream `video` of a finished file. Where this FFmpeg has no decoder for it, nothing is
/// known.
pub(super) fn first_picture(path: &Path, video: usize) -> Result<()> {
    let mut input = Input::open(path, &InputOptions::default())?;
    input.keep_only(|stream| stream == video);
    let Some(stream) = input.stream(video).filter(|stream| Decoder::is_there(stream)) else { return Ok(()) };
    let undecodable = |why: &dyn std::fmt::Display| {
        wrong(format!("the first picture cannot be decoded ({why}); another container or --encoder may do"))
    };
    let mut decoder = Decoder::new(stream, 1).map_err(|error| undecodable(&error))?;
    loop {
        match decoder.receive()? {
            Decoded::Frame(_) => return Ok(()),
            Decoded::Damaged(error) => return Err(undecodable(&error)),
            Decoded::End => return Err(undecodable(&"none comes out")),
            Decoded::Hungry => {
                let packet = input.next_readable().context(|| "read the output again")?;
                // Cover pictures come whatever is kept.
                if packet.as_ref().is_none_or(|packet| packet.stream_index() == video) {
                    decoder.send(packet.as_ref()).map_err(|error| undecodable(&error))?;
                }
            }
        }
    }
}
