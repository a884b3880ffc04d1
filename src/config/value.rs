//! The values people write: times, sizes, ratios, choices, encoder options.
//!
//! Plain functions from text to a value, used alike for the command line, the environment and the files. All are
//! exact: a time is a whole number of microseconds and a rate a ratio, never a float. A failure says what was got and
//! what is expected; where the value came from is added by the caller.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::choice::{PictureSize, Position, Region, Tile};
use crate::error::{Error, Kind, Result};
use crate::tile::roi::Length;
use crate::time::Ratio;

/// A file to be written.
pub(super) fn file(raw: &OsStr) -> Result<PathBuf> {
    let usage = |message: String| Err(Error::new(Kind::Usage, message));
    match raw.as_encoded_bytes() {
        b"" => usage("got nothing, expected the name of a file".to_owned()),
        b"-" => usage("got '-', expected the name of a file; /dev/stdout is standard output".to_owned()),
        [.., b'/'] => usage(format!("got '{}', a folder; add a file name", raw.to_string_lossy())),
        _ => Ok(raw.into()),
    }
}

/// `text` as UTF-8 from what the system gave.
pub(super) fn text(raw: &OsStr) -> Result<&str> {
    raw.to_str().ok_or_else(|| bad(format!("'{}' is not valid UTF-8", raw.to_string_lossy())))
}

/// A switch: `true`, `yes`, `1` or `false`, `no`, `0`.
pub(super) fn switch(text: &str) -> Result<bool> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(bad(format!("'{text}' is neither true nor false"))),
    }
}

/// A whole number from `least` up.
pub fn whole(text: &str, least: u64) -> Result<u64> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(bad(format!("got '{text}', expected a whole number from {least} up"))),
    }
}

/// A count from 1 up that fits the machine.
pub fn count(text: &str) -> Result<usize> {
    let number = whole(text, 1)?;
    usize::try_from(number).map_err(|_| bad(format!("{number} is too large")))
}

/// The most threads of a kind: more than any machine has cores, and as many as FFmpeg's decoders and systems bear.
const MAX_THREADS: usize = 1024;

/// The longest side of an output that is asked for, in luma samples.
pub const MAX_SIDE: usize = 16384;

/// A number of threads.
pub fn threads(text: &str) -> Result<usize> {
    match count(text)? {
        number if number <= MAX_THREADS => Ok(number),
        number => Err(bad(format!("got '{number}', expected a whole number from 1 to {MAX_THREADS}"))),
    }
}

/// A finite number of 0 or more.
pub fn number(text: &str) -> Result<f64> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(bad(format!("got '{text}', expected a number from 0 up"))),
    }
}

/// The most that a network's strength can be.
const MAX_STRENGTH: f64 = 4.0;

/// How strongly a network acts.
pub fn strength(text: &str) -> Result<f32> {
    match number(text) {
        Ok(number) if number <= MAX_STRENGTH => Ok(number as f32),
        _ => Err(bad(format!("got '{text}', expected auto or a number from 0 to {MAX_STRENGTH}"))),
    }
}

/// How sure a network must be of what counts as found.
pub fn score(text: &str) -> Result<f32> {
    match number(text) {
        Ok(number) if number <= 1.0 => Ok(number as f32),
        _ => Err(bad(format!("got '{text}', expected a number from 0 to 1"))),
    }
}

/// Names or numbers of classes, with commas between.
pub fn classes(text: &str) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err(bad(format!("got '{text}', expected names of classes with commas between, such as person,car"))),
        false => Ok(names),
    }
}

/// A time: `0.5`, `2s`, `200ms`; in seconds.
pub fn seconds(text: &str) -> Result<f64> {
    let (amount, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(amount), _) => (amount, 0.001),
        (None, Some(amount)) => (amount, 1.0),
        (None, None) => (text, 1.0),
    };
    match amount.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(amount * unit),
        _ => Err(bad(format!("got '{text}', expected a time such as 0.5 or 200ms"))),
    }
}

/// Numbers of processors: `0-3,8`, rising and each once.
pub fn processors(text: &str) -> Result<Vec<usize>> {
    let wrong = || bad(format!("got '{text}', expected processors such as 0-3,8"));
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number < 1024).ok_or_else(wrong);
    let mut list = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        list.extend(first..=last);
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// A place: `1:02:03.5`, `2:03`, `90`, `90.25` (hours, minutes, seconds) or `120f` (a frame).
pub fn position(text: &str) -> Result<Position> {
    let wrong = || bad(format!("got '{text}', expected a time such as 1:02:03.5 or 90, or a frame such as 120f"));
    if let Some(frame) = text.strip_suffix('f') {
        return digits(frame).and_then(|index| u64::try_from(index).ok()).map(Position::Frame).ok_or_else(wrong);
    }
    let mut parts: Vec<&str> = text.split(':').collect();
    let last = parts.pop().unwrap_or_default();
    let (micros, _) = fixed_point(last, 6).ok_or_else(wrong)?;
    if parts.len() > 2 || (!parts.is_empty() && micros >= 60_000_000) {
        return Err(wrong());
    }
    let mut minutes: u128 = 0;
    for (index, part) in parts.iter().enumerate() {
        let field = digits(part).filter(|&field| index == 0 || field < 60).ok_or_else(wrong)?;
        minutes = minutes * 60 + field;
    }
    let total = minutes.checked_mul(60_000_000).and_then(|total| total.checked_add(micros));
    total.and_then(|total| i64::try_from(total).ok()).map(Position::Time).ok_or_else(wrong)
}

/// A size in bytes: `6G`, `512M`, `1.5GiB`, `4096`; the letters count by 1024.
pub fn size(text: &str) -> Result<u64> {
    let wrong = || bad(format!("got '{text}', expected a size such as 6G or 512M"));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let (thousandths, _) = fixed_point(amount, 3).ok_or_else(wrong)?;
    let bytes = thousandths.checked_mul(1 << shift).ok_or_else(wrong)? / 1000;
    u64::try_from(bytes).ok().filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

/// The size of a picture: `1920x1080`, `1920x` or `x1080`.
pub fn picture_size(text: &str) -> Result<PictureSize> {
    let wrong = || {
        bad(format!(
            "got '{text}', expected WIDTHxHEIGHT up to {MAX_SIDE} such as 1920x1080, or one of both: 1920x, x1080"
        ))
    };
    let side = |text: &str| match text {
        "" => Some(None),
        text => digits(text).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=MAX_SIDE).contains(n)).map(Some),
    };
    let (width, height) = text.split_once(['x', 'X']).ok_or_else(wrong)?;
    match (side(width).ok_or_else(wrong)?, side(height).ok_or_else(wrong)?) {
        (Some(width), Some(height)) => Ok(PictureSize::Exact(width, height)),
        (Some(width), None) => Ok(PictureSize::Width(width)),
        (None, Some(height)) => Ok(PictureSize::Height(height)),
        (None, None) => Err(wrong()),
    }
}

/// The size of a cache: from 1 MiB to 16 TiB.
pub fn cache_size(text: &str) -> Result<u64> {
    let fits = |bytes: &u64| (1 << 20..=1 << 44).contains(bytes);
    size(text)
        .ok()
        .filter(fits)
        .ok_or_else(|| bad(format!("got '{text}', expected a size from 1M to 16T, such as 10G")))
}

/// A frame rate: `24000/1001`, `25`, `12.5`; a decimal that rounds an NTSC rate (`23.976`, `29.97`) is that rate.
pub fn rate(text: &str) -> Result<Ratio> {
    let wrong = || bad(format!("got '{text}', expected a frame rate such as 25, 23.976 or 24000/1001"));
    let ratio = |num: u128, den: u128| {
        let (num, den) = (i32::try_from(num).ok()?, i32::try_from(den).ok()?);
        Some(Ratio::new(num, den).reduced()).filter(|ratio| ratio.is_known())
    };
    if let Some((num, den)) = text.split_once('/') {
        return digits(num).zip(digits(den)).and_then(|(num, den)| ratio(num, den)).ok_or_else(wrong);
    }
    let (millionths, n_decimals) = fixed_point(text, 6).ok_or_else(wrong)?;
    if n_decimals >= 2 {
        let step = 10_u128.pow(6 - n_decimals.min(6));
        for nominal in [24, 30, 48, 60, 120] {
            // nominal * 1000 / 1001 in millionths, rounded to as many decimals as were written.
            let exact = (nominal * 1_000_000_000 * 2 + 1001 * step) / (2 * 1001 * step) * step;
            if exact == millionths {
                return ratio(nominal * 1000, 1001).ok_or_else(wrong);
            }
        }
    }
    // Without its zeros, so that a rate that fits is not refused for the way it is written.
    let (mut num, mut den) = (millionths, 1_000_000);
    while den > 1 && num % 10 == 0 {
        (num, den) = (num / 10, den / 10);
    }
    ratio(num, den).ok_or_else(wrong)
}

/// Encoder options: `k=v`, or several as `k=v:k=v`.
///
/// What follows a key ending in `params` or `opts` (`x264-params`, `x265-params`, `svtav1-params`, `x264opts`) is one
/// value to its end, and a part without `=` belongs to the value before it.
pub fn encoder_options(text: &str) -> Result<Vec<(String, String)>> {
    let wrong = || bad(format!("got '{text}', expected key=value, or several as key=value:key=value"));
    let mut options: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let open = options.last().is_some_and(|(key, _)| key.ends_with("params") || key.ends_with("opts"));
        let (part, after) = if open { (rest, "") } else { rest.split_once(':').unwrap_or((rest, "")) };
        match (part.split_once('='), options.last_mut()) {
            (Some((key, value)), _) if !open && !key.is_empty() => options.push((key.to_owned(), value.to_owned())),
            (_, Some((_, value))) => {
                value.push(':');
                value.push_str(part);
            }
            _ => return Err(wrong()),
        }
        rest = after;
    }
    if options.is_empty() { Err(wrong()) } else { Ok(options) }
}

/// How windows are cut: `auto`, `off` or a number of pixels.
pub(super) fn tile(text: &str) -> Result<Tile> {
    match text {
        "auto" => Ok(Tile::Auto),
        "off" => Ok(Tile::Off),
        _ => count(text)
            .map(Tile::Size)
            .map_err(|_| bad(format!("got '{text}', expected auto, off or a size in pixels"))),
    }
}

/// The most windows that go through a network at once; more would only take memory.
const MAX_BATCH: usize = 64;

/// How many windows go through the network at once: `auto` or a number.
pub(super) fn batch(text: &str) -> Result<Option<usize>> {
    match text {
        "auto" => Ok(None),
        _ => count(text)
            .ok()
            .filter(|n| *n <= MAX_BATCH)
            .map(Some)
            .ok_or_else(|| bad(format!("got '{text}', expected auto or a number from 1 to {MAX_BATCH}"))),
    }
}

/// A part of the region of interest: `X,Y,W,H` in pixels or percent, or a PNG picture.
pub fn region(text: &str) -> Result<Region> {
    let wrong =
        || bad(format!("got '{text}', expected X,Y,W,H in pixels or percent, such as 10%,0,640,50%, or a .png"));
    if text.to_ascii_lowercase().ends_with(".png") {
        return Ok(Region::Mask(text.into()));
    }
    let length = |part: &str| match part.trim().strip_suffix('%') {
        Some(percent) => number(percent).ok().filter(|percent| *percent <= 100.0).map(Length::Percent),
        None => number(part.trim()).ok().filter(|pixels| *pixels <= 65535.0).map(Length::Pixels),
    };
    let lengths: Option<Vec<_>> = text.split(',').map(length).collect();
    lengths.and_then(|lengths| <[Length; 4]>::try_from(lengths).ok()).map(Region::Area).ok_or_else(wrong)
}

/// An error that names what was got, what there is, and which of it is near.
pub(super) fn unknown(got: &str, names: &[&str]) -> Error {
    let hint = nearest(got, names).map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
    bad(format!("got '{got}', expected one of {}{hint}", names.join(", ")))
}

/// The name that differs least from `got`, if one is near enough to be meant.
pub fn nearest<'a>(got: &str, names: &[&'a str]) -> Option<&'a str> {
    let best = names.iter().map(|name| (distance(got, name), *name)).min()?;
    (best.0 <= 1 + got.chars().count() / 4).then_some(best.1)
}

/// Levenshtein distance in characters, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Decimal digits only, at most 18 of them.
fn digits(text: &str) -> Option<u128> {
    let sound = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| text.parse().ok()).flatten()
}

/// A decimal number in units of 10^-`places`, digits beyond rounded half up, and how many decimals were written.
fn fixed_point(text: &str, places: u32) -> Option<(u128, u32)> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let n_decimals = if text.contains('.') { u32::try_from(decimals.len()).ok()? } else { 0 };
    let fraction = digits(decimals)?;
    let n_digits = u32::try_from(decimals.len()).ok()?;
    let unit = 10_u128.pow(places);
    let scale = 10_u128.pow(n_digits);
    Some((digits(whole)? * unit + (fraction * unit + scale / 2) / scale, n_decimals))
}

/// A failure to understand a value.
fn bad(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::choice::{Deinterlace, EngineChoice};
    use super::*;

    #[test]
    fn a_batch_is_a_number_that_memory_holds() {
        assert_eq!(["auto", "1", "64"].map(|text| batch(text).unwrap()), [None, Some(1), Some(64)]);
        assert!(["0", "65", "-1", "many", ""].iter().all(|text| batch(text).is_err()));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, micros) in [
            ("90", 90_000_000),
            ("1:30", 90_000_000),
            ("1:02:03.5", 3_723_500_000),
            ("100:00:00", 360_000_000_000),
            ("0.0000005", 1),
            ("0.041708", 41_708),
        ] {
            assert_eq!(position(text).unwrap(), Position::Time(micros), "{text}");
        }
        assert_eq!(position("120f").unwrap(), Position::Frame(120));
        for text in
            ["", "-1", "f", "1:60", "1:2:3:4", "1:60:00", "1e3", "nan", "1.", ".5", "1,5", "9999999999999999999", "+1"]
        {
            assert_eq!(position(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn sizes_count_by_1024() {
        for (text, bytes) in [("6G", 6 << 30), ("512M", 512 << 20), ("1.5GiB", 3 << 29), ("4096", 4096), ("2kb", 2048)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "G", "0", "-1G", "6X", "6 G", "99999999999T", "1..5G"] {
            assert_eq!(size(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn sizes_of_pictures_may_leave_a_side_open() {
        assert_eq!(picture_size("1920x1080").unwrap(), PictureSize::Exact(1920, 1080));
        let of = |text: &str, size| picture_size(text).unwrap().of(size);
        assert_eq!(of("1280x", (1920, 1080)), (1280, 720));
        assert_eq!(of("x720", (1920, 1080)), (1280, 720));
        assert_eq!(of("x100", (320, 180)), (178, 100));
        assert_eq!(of("2x", (1000, 10)), (2, 2));
        assert_eq!(of("321x", (321, 241)), (321, 241));
        for text in ["", "x", "1920", "1920x-1", "0x5", "16385x5", "5x5x5", " 5x5"] {
            assert!(picture_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_listed_and_counted_once() {
        assert_eq!(processors("8,0-3,2").unwrap(), [0, 1, 2, 3, 8]);
        for text in ["", "a", "1-", "-1", "3-1", "0,,1", "1024", "0-9999999999"] {
            assert_eq!(processors(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn rates_are_exact_and_ntsc_is_recognised() {
        for (text, num, den) in [
            ("24000/1001", 24000, 1001),
            ("23.976", 24000, 1001),
            ("23.98", 24000, 1001),
            ("23.976024", 24000, 1001),
            ("29.97", 30000, 1001),
            ("59.94", 60000, 1001),
            ("47.952", 48000, 1001),
            ("119.88", 120_000, 1001),
            ("25", 25, 1),
            ("50/2", 25, 1),
            ("12.5", 25, 2),
            ("24.0", 24, 1),
            ("24.00", 24, 1),
            ("23.975", 959, 40),
            ("100000.5", 200_001, 2),
        ] {
            assert_eq!(rate(text).unwrap(), Ratio::new(num, den), "{text}");
        }
        for text in ["", "0", "0/1", "25/0", "-25", "1/2/3", "x", "99999999999", "3000000000/1"] {
            assert_eq!(rate(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn encoder_options_come_alone_or_in_a_row() {
        let pairs = |text: &str| {
            let options = encoder_options(text).unwrap();
            options.into_iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>()
        };
        assert_eq!(pairs("qp=0"), ["qp 0"]);
        assert_eq!(pairs("qp=0:tune=film"), ["qp 0", "tune film"]);
        assert_eq!(pairs("x264-params=keyint=48:scenecut=0"), ["x264-params keyint=48:scenecut=0"]);
        assert_eq!(pairs("qp=0:x265-params=a=1:b=2"), ["qp 0", "x265-params a=1:b=2"]);
        assert_eq!(pairs("deblock=1:1"), ["deblock 1:1"]);
        assert_eq!(pairs("a="), ["a "]);
        for text in ["", "qp", "=0", ":", "qp:0"] {
            assert_eq!(encoder_options(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn a_wrong_choice_names_the_near_one() {
        let message = EngineChoice::parse("openvin").unwrap_err().to_string();
        assert_eq!(message, "got 'openvin', expected one of auto, native, ort, openvino; did you mean 'openvino'?");
        for name in Deinterlace::NAMES {
            assert_eq!(Deinterlace::parse(name).unwrap().to_string(), *name);
        }
        assert_eq!(nearest("zebra", &["crf", "preset"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    proptest! {
        #[test]
        fn a_time_that_is_printed_is_read_back(micros in 0..i64::MAX / 2) {
            let place = Position::Time(micros);
            prop_assert_eq!(position(&place.to_string()).unwrap(), place);
        }

        #[test]
        fn fields_of_a_time_add_up(h in 0..1000_i64, m in 0..60_i64, s in 0..60_i64, us in 0..1_000_000_i64) {
            let expected = Position::Time(((h * 60 + m) * 60 + s) * 1_000_000 + us);
            prop_assert_eq!(position(&format!("{h}:{m}:{s}.{us:06}")).unwrap(), expected);
        }

        #[test]
        fn a_size_is_its_amount_times_its_unit(amount in 1..1_000_000_u64, unit in 0..5_usize) {
            let text = format!("{amount}{}", ["", "K", "M", "G", "T"][unit]);
            prop_assert_eq!(size(&text).unwrap(), amount << (10 * unit));
        }

        #[test]
        fn a_ratio_is_read_in_lowest_terms(num in 1..i32::MAX, den in 1..i32::MAX) {
            let ratio = rate(&format!("{num}/{den}")).unwrap();
            prop_assert_eq!(i64::from(ratio.num) * i64::from(den), i64::from(ratio.den) * i64::from(num));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,24}") {
            let _ = (position(&text), size(&text), rate(&text), encoder_options(&text), number(&text));
        }

        #[test]
        fn no_number_like_text_makes_a_parser_panic(text in "[0-9.:/fKMGTi+-]{0,40}") {
            let _ = (position(&text), size(&text), rate(&text), encoder_options(&text), number(&text));
        }
    }
}
