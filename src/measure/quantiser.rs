//! How coarsely a video was quantised when it was coded, from a few frames at some places in it.

mod hevc;

use std::path::Path;

use self::hevc::Headers;
use crate::av::{Decoded, Decoder, Input, InputOptions, Qp};
use crate::error::Result;
use crate::plan::strength::Coding;
use crate::time::TimeBase;

/// Places looked at: the beginning, and so many parts of the film on.
const PLACES: i64 = 4;
/// Frames looked at in each place.
const FRAMES: usize = 8;
/// Packets read in one place at most, for containers in which frames are far apart.
const PACKETS: usize = 64;

/// Looks at the stream `video` of a container.
pub fn coding(path: &Path, options: &InputOptions, video: usize) -> Result<Coding> {
    let mut input = Input::open(path, options)?;
    input.keep_only(|stream| stream == video);
    let Some(stream) = input.stream(video) else { return Ok(Coding::Lossless) };
    if stream.is_lossless() {
        return Ok(Coding::Lossless);
    }
    let codec = stream.codec.clone();
    let length = stream.duration.or_else(|| {
        let micros = input.duration()?;
        Some(TimeBase::MICROS.rescale(micros, stream.time_base))
    });
    let start = stream.start.unwrap_or(0);
    let mut decoder = Decoder::with_quantisers(stream, 1)?;
    let mut headers = (codec == "hevc").then(|| Headers::new(stream.extradata()));
    let mut found = Vec::new();
    for place in 0..PLACES {
        if place > 0 {
            // What cannot be searched is judged by its beginning.
            let Some(length) = length.filter(|_| !found.is_empty()) else { break };
            if input.seek(video, start + length / PLACES * place).is_err() {
                break;
            }
            decoder.forget();
        }
        look(&mut input, &mut decoder, video, &mut found, headers.as_mut());
    }
    let mean = found.iter().sum::<Qp>() / found.len() as Qp;
    Ok(if found.is_empty() { Coding::Unknown(codec) } else { Coding::Quantised(mean, codec) })
}

/// Adds the quantisers of the next frames: as the decoder tells them, or as their headers say.
fn look(input: &mut Input, decoder: &mut Decoder, video: usize, found: &mut Vec<Qp>, headers: Option<&mut Headers>) {
    let (mut n_frames, mut headers) = (0, headers);
    for _ in 0..PACKETS {
        let Ok(Some(packet)) = input.next_packet() else { break };
        if packet.stream_index() != video {
            continue;
        }
        if let Some(headers) = &mut headers {
            if let Some(qp) = headers.packet(packet.data()) {
                found.push(qp);
                break;
            }
            continue;
        }
        // Damage is the run's to tell.
        if decoder.send(Some(&packet)).is_err() {
            continue;
        }
        while let Ok(Decoded::Frame(frame)) = decoder.receive() {
            found.extend(frame.quantiser());
            n_frames += 1;
        }
        if n_frames >= FRAMES {
            break;
        }
    }
}
