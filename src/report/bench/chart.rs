//! The results as a picture: a panel a resolution, in it what the parts take alone, one behind the other, above what
//! the whole chain takes, and the plain loop.
//!
//! All bars of a panel have one unit, processor time a frame. What the chain takes is its CPU time, and behind it, light,
//! the time that processors were idle or with other programs until the frame was done: both together are wall time times
//! cores. Where the chain's bar is as long as the parts' together, nothing is lost between them.

use std::fmt::Write;

use super::table::number;
use super::{Part, Results, Row};

const WIDTH: f64 = 960.0;
/// Where bars begin and end; what is written behind the longest bar stands to the right.
const LEFT: f64 = 130.0;
const RIGHT: f64 = 700.0;
/// Where the first panel begins.
const TOP: f64 = 104.0;
const BAR: f64 = 24.0;
const GAP: f64 = 8.0;
/// What a panel has besides its bars: its name above, its scale below.
const FRAME: f64 = 74.0;

/// Processors that did something else.
const ELSEWHERE: &str = "#dedbd8";

/// The colour of a part's bar.
fn color(part: Part) -> &'static str {
    match part {
        Part::Decode => "#4c78a8",
        Part::Preprocess => "#72b7b2",
        Part::Inference => "#f58518",
        Part::Postprocess => "#e4b700",
        Part::Encode => "#54a24b",
        Part::Chain | Part::Plain => "#5b5b5b",
    }
}

/// A piece of a bar.
struct Piece {
    name: &'static str,
    color: &'static str,
    /// Seconds a frame.
    seconds: f64,
}

/// A bar of several pieces, and what is written behind it.
struct Bar {
    name: &'static str,
    pieces: Vec<Piece>,
    told: String,
}

impl Bar {
    fn length(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.seconds).sum()
    }
}

/// The chart as SVG.
pub fn chart(results: &Results) -> String {
    let rows: Vec<(&Row, Vec<Bar>)> = results.rows.iter().map(|row| (row, bars(row, results.machine.cores))).collect();
    let height = |bars: &[Bar]| FRAME + bars.len().max(1) as f64 * (BAR + GAP);
    let total = TOP + rows.iter().map(|(_, bars)| height(bars)).sum::<f64>() + 16.0;
    let mut svg = String::new();
    // Writing into a string cannot fail, here and below.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" \
         height=\"{total}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    let machine = &results.machine;
    text(&mut svg, 16.0, 30.0, "font-size=\"20\" font-weight=\"bold\"", &format!("vproc bench: {}", results.network));
    let day = results.date.split('T').next().unwrap_or_default();
    let about = format!("{}, {} cores; vproc {}, {day}", machine.cpu, machine.cores, results.vproc);
    text(&mut svg, 16.0, 52.0, "fill=\"#555\"", &about);
    legend(&mut svg);
    let mut y = TOP;
    for (row, bars) in &rows {
        panel(&mut svg, row, bars, y);
        y += height(bars);
    }
    svg + "</svg>\n"
}

/// The bars of a row, those that were measured.
fn bars(row: &Row, cores: usize) -> Vec<Bar> {
    let piece =
        |part: Part| Some(Piece { name: part.name(), color: color(part), seconds: row.part(part)?.cpu().median });
    let whole = |part: Part, name: &'static str, told: &dyn Fn(f64) -> String| {
        let wall = row.part(part)?.wall().median;
        let used = piece(part)?;
        let seconds = (wall * cores as f64 - used.seconds).max(0.0);
        let elsewhere = Piece { name: "idle, or other programs", color: ELSEWHERE, seconds };
        Some(Bar { name, pieces: vec![used, elsewhere], told: told(1.0 / wall.max(1e-12)) })
    };
    let parts = Bar {
        name: "parts alone",
        pieces: Part::STAGES.into_iter().filter_map(piece).collect(),
        told: row.limit(cores).map_or_else(String::new, |it| format!("limit {} fps", number(1.0 / it.wall.max(1e-12)))),
    };
    let reached = row.efficiency(cores).map_or_else(String::new, |it| format!(", {:.1} % of the limit", it * 100.0));
    let chain = whole(Part::Chain, "whole chain", &|fps| format!("{} fps{reached}", number(fps)));
    let times = row.ratio_to_plain().map_or_else(String::new, |it| format!(", chain {:.2} times as fast", it.median));
    let plain = whole(Part::Plain, "plain loop", &|fps| format!("{} fps{times}", number(fps)));
    [Some(parts).filter(|bar| !bar.pieces.is_empty()), chain, plain].into_iter().flatten().collect()
}

fn legend(svg: &mut String) {
    let mut x = 16.0;
    for part in Part::STAGES {
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"68\" width=\"14\" height=\"14\" fill=\"{}\"/>", color(part));
        text(svg, x + 20.0, 80.0, "", part.name());
        x += 44.0 + 7.5 * part.name().len() as f64;
    }
    for (name, color) in [("chain, plain loop", color(Part::Chain)), ("processors idle or elsewhere", ELSEWHERE)] {
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"68\" width=\"14\" height=\"14\" fill=\"{color}\"/>");
        text(svg, x + 20.0, 80.0, "", name);
        x += 44.0 + 7.0 * name.len() as f64;
    }
}

fn panel(svg: &mut String, row: &Row, bars: &[Bar], top: f64) {
    let output = match (row.output_width, row.output_height) {
        size if size == (row.width, row.height) => String::new(),
        (width, height) => format!(" to {width}x{height}"),
    };
    let size = format!("{}x{}", row.width, row.height);
    let title = if row.name == size { format!("{size}{output}") } else { format!("{}: {size}{output}", row.name) };
    let _ = writeln!(svg, "<line x1=\"16\" x2=\"{}\" y1=\"{top}\" y2=\"{top}\" stroke=\"#ddd\"/>", WIDTH - 16.0);
    text(svg, 16.0, top + 22.0, "font-weight=\"bold\"", &title);
    text(svg, LEFT + 120.0, top + 22.0, "fill=\"#555\"", &format!("{}, {}", row.engine, row.encoder));
    if let Some(reason) = &row.skipped {
        return text(svg, LEFT, top + 50.0, "fill=\"#a33\"", &format!("skipped: {reason}"));
    }
    let longest = bars.iter().map(Bar::length).fold(0.0, f64::max);
    if longest <= 0.0 {
        return;
    }
    let step = step(longest);
    let n_steps = (longest / step).ceil();
    let x_of = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / (n_steps * step);
    let first = top + 34.0;
    let bottom = first + bars.len() as f64 * (BAR + GAP);
    for tick in 0..=n_steps as usize {
        let x = x_of(tick as f64 * step);
        let _ = writeln!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{first}\" y2=\"{bottom}\" stroke=\"#e6e6e6\"/>");
        let label = trimmed(tick as f64 * step * 1000.0);
        text(svg, x, bottom + 16.0, "text-anchor=\"middle\" font-size=\"11\" fill=\"#555\"", &label);
    }
    let label = "font-size=\"11\" fill=\"#555\"";
    text(svg, RIGHT + 24.0, bottom + 16.0, label, "ms of processor time a frame");
    for (index, bar) in bars.iter().enumerate() {
        let y = first + index as f64 * (BAR + GAP) + GAP / 2.0;
        let base = y + BAR / 2.0 + 4.5;
        text(svg, LEFT - 8.0, base, "text-anchor=\"end\"", bar.name);
        let mut from = 0.0;
        for Piece { name, color, seconds } in &bar.pieces {
            let (x, width) = (x_of(from), x_of(*seconds) - LEFT);
            from += seconds;
            let told = format!("{} ms", number(seconds * 1000.0));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\">\
                 <title>{name}: {told}</title></rect>",
                color
            );
            // About 7 units a character, and a little air.
            if width > 7.0 * told.len() as f64 + 10.0 {
                let fill = if [ELSEWHERE, self::color(Part::Postprocess)].contains(color) { "#222" } else { "#fff" };
                let middle = format!("text-anchor=\"middle\" font-size=\"12\" fill=\"{fill}\"");
                text(svg, x + width / 2.0, base, &middle, &told);
            }
        }
        text(svg, x_of(from) + 8.0, base, "", &bar.told);
    }
}

/// A round distance of ticks, so that there are four to eight of them up to `longest`.
fn step(longest: f64) -> f64 {
    let rough = longest / 8.0;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power).find(|it| *it >= rough * 0.999).unwrap_or(10.0 * power)
}

/// A number without zeros at its end.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, content: &str) {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // What XML cannot hold at all.
    let escaped: String = escaped.chars().filter(|c| !c.is_control()).collect();
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{escaped}</text>");
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;
    use crate::report::bench::Machine;

    #[test]
    fn ticks_are_round_and_few() {
        for (longest, expected) in [(1.0, 0.2), (0.9, 0.2), (8.0, 1.0), (0.0123, 0.002), (400.0, 50.0)] {
            assert!((step(longest) - expected).abs() < 1e-9, "{longest}: {}", step(longest));
        }
        assert_eq!((trimmed(0.0), trimmed(1250.0), trimmed(2.5)), ("0".into(), "1250".into(), "2.5".into()));
    }

    #[test]
    fn every_element_is_closed_and_every_part_is_there() {
        let machine = Machine { cpu: "A & B <C>".to_owned(), cores: 2, ..Machine::default() };
        let skipped = Row { name: "8k".to_owned(), skipped: Some("too large".to_owned()), ..Row::default() };
        let svg = chart(&Results { machine, rows: vec![row(), skipped], ..Results::default() });
        assert!(svg.contains("A &amp; B &lt;C&gt;") && svg.contains("skipped: too large"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(svg.matches("<title>").count(), 9);
        for part in Part::STAGES {
            assert!(svg.contains(color(part)) && svg.contains(part.name()));
        }
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
}
