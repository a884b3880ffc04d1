//! What output containers hold, and what happens to each stream besides the processed video.
//!
//! The table is pure: whether a container takes a codec as it is was tried beforehand and comes in as an answer.

use std::path::Path;

use crate::av::{MediaKind, OutputStream, Stream, StreamSideData};
use crate::time::TimeBase;

/// The containers whose ways are known; any other that FFmpeg writes is treated as taking what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// ISO base media, `.mp4` and `.m4v`.
    Mp4,
    /// QuickTime.
    Mov,
    /// Matroska.
    Matroska,
    /// WebM.
    Webm,
    /// Another one.
    Other,
}

impl Container {
    /// The container for a file name, by its extension.
    pub fn of(path: &Path) -> Container {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("mp4" | "m4v") => Container::Mp4,
            Some("mov" | "qt") => Container::Mov,
            Some("mkv" | "mka" | "mk3d") => Container::Matroska,
            Some("webm") => Container::Webm,
            _ => Container::Other,
        }
    }

    /// FFmpeg's name of its muxer, where the extension alone does not say it.
    pub fn muxer(self) -> Option<&'static str> {
        match self {
            Container::Mp4 => Some("mp4"),
            Container::Mov => Some("mov"),
            Container::Matroska => Some("matroska"),
            Container::Webm => Some("webm"),
            Container::Other => None,
        }
    }

    /// Encoders, of those tabled, whose video it holds, where it does not hold that of all.
    pub fn encoders(self) -> &'static [&'static str] {
        match self {
            Container::Mp4 => &["libx264", "libx265", "libsvtav1"],
            Container::Mov => &["libx264", "libx265", "prores_ks", "ffv1"],
            Container::Webm => &["libsvtav1", "libvpx-vp9"],
            Container::Matroska | Container::Other => &[],
        }
    }

    /// An mp4 or a mov.
    pub fn is_isobmff(self) -> bool {
        matches!(self, Container::Mp4 | Container::Mov)
    }
}

/// What happens to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is the video that is processed.
    Process,
    /// Its packets go over as they are.
    Copy,
    /// The one picture goes over as a packet (a cover in mp4).
    CopyCover,
    /// The one picture goes over as an attached file (a cover in Matroska).
    AttachCover,
    /// Text subtitles in another format; what is lost, if anything.
    Subtitles {
        /// FFmpeg's encoder.
        encoder: &'static str,
        /// What does not survive.
        lost: Option<&'static str>,
    },
    /// Sound in another codec.
    Sound {
        /// FFmpeg's encoder.
        encoder: &'static str,
    },
    /// The container makes it anew from what else is kept.
    Recreated(&'static str),
    /// It cannot be kept; why.
    Dropped(String),
}

/// A stream of the input and what becomes of it.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// Its index in the input.
    pub input_index: usize,
    /// What it carries.
    pub kind: MediaKind,
    /// FFmpeg's name of its codec in the input.
    pub codec: String,
    /// What happens to it.
    pub treatment: Treatment,
    /// What the output says about it.
    pub about: OutputStream,
}

impl StreamPlan {
    /// Whether the output has a stream for it that is made by us.
    pub fn is_kept(&self) -> bool {
        !matches!(self.treatment, Treatment::Recreated(_) | Treatment::Dropped(_))
    }

    /// The stream for people, by what it is in the input.
    pub fn name(&self) -> String {
        format!("stream {} ({} {})", self.input_index, self.codec, self.kind.name())
    }

    /// What happens, for people and reports: a word and a detail.
    pub fn describe(&self) -> (&'static str, String) {
        match &self.treatment {
            Treatment::Process => ("processed", String::new()),
            Treatment::Copy => ("copied", String::new()),
            Treatment::CopyCover => ("copied", "cover picture".to_owned()),
            Treatment::AttachCover => ("copied", "cover picture, as an attached file".to_owned()),
            Treatment::Subtitles { encoder, lost } => {
                let lost = lost.map_or_else(String::new, |lost| format!(", without its {lost}"));
                ("converted", format!("to {encoder}{lost}"))
            }
            Treatment::Sound { encoder } => ("converted", format!("to {encoder}")),
            Treatment::Recreated(from) => ("recreated", (*from).to_owned()),
            Treatment::Dropped(why) => ("dropped", why.clone()),
        }
    }
}

/// Metadata that speaks of the old file and would be false in the new one.
fn is_stale(key: &str, value: &str, is_reencoded: bool) -> bool {
    let key = key.to_ascii_lowercase();
    if key == "creation_time" && value.starts_with("1970-01-01T00:00:00") {
        // An mp4's field for it is always there; this is the value of one that was never filled.
        return true;
    }
    let container = ["major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"];
    let statistics = ["bps", "number_of_frames", "number_of_bytes", "_statistics_"];
    container.contains(&key.as_str())
        || key.starts_with("duration-")
        || key.starts_with("encoder-")
        || is_reencoded && statistics.iter().any(|name| key.starts_with(name))
}

/// The metadata of a file or stream that goes over.
pub fn kept_metadata(metadata: &[(String, String)], is_reencoded: bool) -> Vec<(String, String)> {
    metadata.iter().filter(|(key, value)| !is_stale(key, value, is_reencoded)).cloned().collect()
}

/// Side data that describes pictures and so holds for processed ones too.
const OF_PICTURES: [u32; 5] = [
    StreamSideData::DISPLAY_MATRIX,
    StreamSideData::MASTERING_DISPLAY,
    StreamSideData::CONTENT_LIGHT,
    StreamSideData::STEREO_3D,
    StreamSideData::SPHERICAL,
];

/// Sound that has a code of its own in QuickTime.
const MOV_SOUND: [&str; 36] = [
    "aac",
    "ac3",
    "adpcm_ima_qt",
    "alac",
    "amr_nb",
    "amr_wb",
    "apac",
    "dts",
    "eac3",
    "evrc",
    "gsm",
    "mace3",
    "mace6",
    "mp1",
    "mp2",
    "mp3",
    "pcm_alaw",
    "pcm_f32be",
    "pcm_f32le",
    "pcm_f64be",
    "pcm_f64le",
    "pcm_mulaw",
    "pcm_s16be",
    "pcm_s16le",
    "pcm_s24be",
    "pcm_s24le",
    "pcm_s32be",
    "pcm_s32le",
    "pcm_s8",
    "pcm_u8",
    "qcelp",
    "qdm2",
    "qdmc",
    "smv",
    "speex",
    "vorbis",
];

/// Languages with two codes in ISO 639-2, for bibliography and terminology: the one that FFmpeg does not find in the
/// Macintosh's table of languages (`mov_mdhd_language_map` in `isom.c`), and the other one. Those of which neither is
/// there are left out.
const MOV_LANGUAGES: [(&str, &str); 19] = [
    ("bod", "tib"),
    ("cym", "wel"),
    ("cze", "ces"),
    ("deu", "ger"),
    ("ell", "gre"),
    ("eus", "baq"),
    ("fas", "per"),
    ("fre", "fra"),
    ("hye", "arm"),
    ("isl", "ice"),
    ("kat", "geo"),
    ("mkd", "mac"),
    ("msa", "may"),
    ("mya", "bur"),
    ("nld", "dut"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("sqi", "alb"),
    ("zho", "chi"),
];

/// Data of transport streams, which has no code in QuickTime.
const DATA_OF_BROADCASTS: [&str; 4] = ["epg", "klv", "scte_35", "timed_id3"];

/// What becomes of every stream of the input, in its order. `holds` answers whether the output's container takes a
/// stream's codec as it is.
pub fn plan_streams(
    streams: &[Stream],
    video: usize,
    has_chapters: bool,
    container: Container,
    holds: &dyn Fn(&Stream) -> bool,
) -> Vec<StreamPlan> {
    streams
        .iter()
        .map(|stream| {
            let is_video = stream.index == video;
            let treatment = if is_video { Treatment::Process } else { treat(stream, has_chapters, container, holds) };
            let mut about = OutputStream {
                metadata: kept_metadata(&stream.metadata, is_video),
                disposition: stream.disposition,
                time_base: Some(stream.time_base),
                side_data: stream.side_data.clone(),
                ..OutputStream::default()
            };
            if container == Container::Mov {
                respell_languages(&mut about.metadata);
            }
            if let Some(samples) = i32::try_from(stream.sample_rate).ok().and_then(|rate| TimeBase::new(1, rate)) {
                // Sound is counted in samples where the container lets us choose.
                about.time_base = Some(samples);
            }
            if stream.kind == MediaKind::Video {
                about.frame_rate = Some(stream.average_frame_rate);
                about.sample_aspect_ratio = Some(stream.sample_aspect_ratio);
            }
            if is_video {
                about.side_data.retain(|data| OF_PICTURES.contains(&data.kind));
            }
            if let Treatment::Subtitles { encoder: "mov_text", .. } = treatment {
                about.time_base = Some(TimeBase::MICROS);
            }
            if treatment == Treatment::AttachCover {
                complete_attachment(&mut about, &stream.codec);
            }
            StreamPlan { input_index: stream.index, kind: stream.kind, codec: stream.codec.clone(), treatment, about }
        })
        .collect()
}

/// Spells languages as FFmpeg's muxer for mov knows them.
fn respell_languages(metadata: &mut [(String, String)]) {
    for (_, value) in metadata.iter_mut().filter(|(key, _)| key.eq_ignore_ascii_case("language")) {
        if let Some((_, known)) = MOV_LANGUAGES.iter().find(|(other, _)| other == value) {
            *value = (*known).to_owned();
        }
    }
}

/// What becomes of every stream where the output is no container.
pub fn leave_out(streams: &[Stream], video: usize) -> Vec<StreamPlan> {
    let plan = |stream: &Stream| {
        let is_video = stream.index == video;
        let of_pictures = |data: &&StreamSideData| is_video && OF_PICTURES.contains(&data.kind);
        let about = OutputStream {
            metadata: kept_metadata(&stream.metadata, is_video),
            side_data: stream.side_data.iter().filter(of_pictures).cloned().collect(),
            ..OutputStream::default()
        };
        let treatment = match is_video {
            true => Treatment::Process,
            false => Treatment::Dropped("the output holds pictures alone".to_owned()),
        };
        StreamPlan { input_index: stream.index, kind: stream.kind, codec: stream.codec.clone(), treatment, about }
    };
    streams.iter().map(plan).collect()
}

/// Makes the processed video's display matrix, which moves pictures by pixels, that of pictures of another size.
pub fn fit_matrix(streams: &mut [StreamPlan], from: (usize, usize), to: (usize, usize)) {
    let videos = streams.iter_mut().filter(|plan| plan.treatment == Treatment::Process);
    for data in videos.flat_map(|plan| &mut plan.about.side_data) {
        if data.kind != StreamSideData::DISPLAY_MATRIX || data.bytes.len() < 9 * size_of::<i32>() {
            continue;
        }
        let (cells, _) = data.bytes.as_chunks_mut::<4>();
        let cell = |cells: &[[u8; 4]], at: usize| i32::from_ne_bytes(cells[at]);
        let scaled =
            |value: i32, (from, to): (usize, usize)| (i64::from(value) * to as i64 / from.max(1) as i64) as i32;
        let (across, down) = ((from.0, to.0), (from.1, to.1));
        // What lies across the screen are columns, or rows that are turned.
        let by = [if cell(cells, 0) != 0 { across } else { down }, if cell(cells, 4) != 0 { down } else { across }];
        for (at, by) in [6, 7].into_iter().zip(by) {
            cells[at] = scaled(cell(cells, at), by).to_ne_bytes();
        }
    }
}

fn treat(stream: &Stream, has_chapters: bool, container: Container, holds: &dyn Fn(&Stream) -> bool) -> Treatment {
    if stream.is_cover() {
        return match (container, stream.cover.is_some()) {
            (_, false) => Treatment::Dropped("the cover picture is empty".to_owned()),
            (Container::Matroska, true) => Treatment::AttachCover,
            (Container::Mp4, true) if holds(stream) => Treatment::CopyCover,
            // The muxer for mov takes a cover and writes none.
            _ => Treatment::Dropped("the output's container holds no cover picture; .mp4 and .mkv do".to_owned()),
        };
    }
    if stream.kind == MediaKind::Attachment && container != Container::Matroska {
        // The muxer for webm takes attached files and writes none.
        return Treatment::Dropped(no_room(stream, container));
    }
    if stream.kind == MediaKind::Data {
        if has_chapters && stream.is_left_out {
            return Treatment::Recreated("the text track of the chapters, made anew from them");
        }
        if &stream.codec_tag.to_le_bytes() == b"tmcd" && container.is_isobmff() {
            return Treatment::Recreated("the time code track, made anew from the time code");
        }
    }
    let fits_by_name = match (container, stream.kind, stream.codec.as_str()) {
        // The muxers take these in their header, but players of the container do not know them.
        (Container::Mp4 | Container::Mov, MediaKind::Subtitle, codec) => {
            matches!(codec, "mov_text" | "dvd_subtitle" | "eia_608")
        }
        (Container::Webm, MediaKind::Subtitle, codec) => codec == "webvtt",
        (Container::Matroska, MediaKind::Subtitle, "mov_text") => false,
        // The muxer for mov writes whatever it is given, and much of it nobody can read again.
        (Container::Mov, MediaKind::Audio, codec) => MOV_SOUND.contains(&codec),
        (Container::Mov, MediaKind::Data, codec) => {
            let has_code = stream.codec_tag.to_le_bytes().iter().all(u8::is_ascii_graphic);
            has_code && !DATA_OF_BROADCASTS.contains(&codec)
        }
        _ => true,
    };
    if fits_by_name && holds(stream) {
        return Treatment::Copy;
    }
    match stream.kind {
        MediaKind::Subtitle if stream.is_text_subtitle() => subtitles(stream, container),
        MediaKind::Audio => Treatment::Sound {
            encoder: match container {
                Container::Webm => "libopus",
                Container::Mp4 | Container::Mov => "alac",
                _ => "flac",
            },
        },
        _ => Treatment::Dropped(no_room(stream, container)),
    }
}

fn subtitles(stream: &Stream, container: Container) -> Treatment {
    let encoder = match container {
        Container::Mp4 | Container::Mov => "mov_text",
        Container::Webm => "webvtt",
        Container::Matroska => "subrip",
        Container::Other => return Treatment::Dropped(no_room(stream, container)),
    };
    let lost = match (stream.codec.as_str(), encoder) {
        ("ass" | "ssa", _) => Some("positions and styles"),
        ("mov_text", "subrip") => Some("boxes and highlights"),
        (_, "webvtt") => Some("fonts and colours"),
        _ => None,
    };
    Treatment::Subtitles { encoder, lost }
}

fn no_room(stream: &Stream, container: Container) -> String {
    if &stream.codec_tag.to_le_bytes() == b"tmcd" {
        return "the output's container holds no time code track; the time code stays as metadata".to_owned();
    }
    let try_it = if container == Container::Matroska { "" } else { "; an .mkv may" };
    format!("the output's container holds no {} {}{try_it}", stream.codec, stream.kind.name())
}

/// Matroska wants a name and a type for an attached file.
fn complete_attachment(about: &mut OutputStream, codec: &str) {
    let (extension, mime) = match codec {
        "mjpeg" => ("jpg", "image/jpeg"),
        "png" => ("png", "image/png"),
        "gif" => ("gif", "image/gif"),
        "webp" => ("webp", "image/webp"),
        _ => ("bmp", "image/bmp"),
    };
    for (key, value) in [("filename", format!("cover.{extension}")), ("mimetype", mime.to_owned())] {
        if !about.metadata.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
            about.metadata.push((key.to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_statistics_go_and_titles_stay() {
        let pairs = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect::<Vec<_>>();
        let keys = pairs(&["title", "DURATION", "BPS-eng", "major_brand", "encoder", "language", "duration_note"]);
        let names = |kept: Vec<(String, String)>| kept.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(names(kept_metadata(&keys, true)), ["title", "language", "duration_note"]);
        assert_eq!(names(kept_metadata(&keys, false)), ["title", "BPS-eng", "language", "duration_note"]);
    }

    #[test]
    fn no_language_is_spelt_in_a_way_that_is_to_be_respelt() {
        let known = |code: &str| !MOV_LANGUAGES.iter().any(|(other, _)| *other == code);
        assert!(MOV_LANGUAGES.iter().all(|(_, code)| known(code)));
        let mut pairs = [("language", "fre"), ("title", "fre"), ("LANGUAGE", "nld"), ("language", "eng")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        respell_languages(&mut pairs);
        assert_eq!(pairs.map(|(_, value)| value), ["fra", "fre", "dut", "eng"]);
    }

    #[test]
    fn containers_are_told_by_extension() {
        assert_eq!(Container::of(Path::new("a.MP4")), Container::Mp4);
        assert_eq!(Container::of(Path::new("a.b/c.webm")), Container::Webm);
        assert_eq!(Container::of(Path::new("a.ts")), Container::Other);
    }
}
