//! What changed between two results: per resolution and part a ratio with its spread, and a verdict in words.

use std::fmt::Write;

use super::table::number;
use super::{Figure, Part, Results};

/// Ratios nearer to 1 than this are no difference, however little the repeats lie apart: what a machine drifts by.
const DRIFT: f64 = 0.02;

/// How far apart single repeats may lie, where there is nothing to tell it from.
const UNKNOWN: f64 = 0.1;

/// What a ratio means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// B takes less.
    Less,
    /// B takes more.
    More,
    /// They cannot be told apart.
    Same,
}

/// B over A, with how far it may be off, as a share, and what that means.
pub fn ratio(a: Figure, b: Figure) -> Option<(f64, f64, Verdict)> {
    if a.median <= 0.0 || b.median <= 0.0 {
        return None;
    }
    let ratio = b.median / a.median;
    let (from, to) = (a.spread.unwrap_or(UNKNOWN), b.spread.unwrap_or(UNKNOWN));
    let spread = from.hypot(to);
    let verdict = match ratio - 1.0 {
        difference if difference.abs() <= spread.max(DRIFT) => Verdict::Same,
        difference if difference < 0.0 => Verdict::Less,
        _ => Verdict::More,
    };
    Some((ratio, spread, verdict))
}

/// The comparison as a table of at most 100 columns.
pub fn compare(a: &Results, b: &Results) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail, here and below.
    for (name, results) in [("A", a), ("B", b)] {
        let _ = writeln!(
            text,
            "{name}: vproc {} on {}, {}, {}",
            results.vproc, results.date, results.network, results.machine.cpu
        );
    }
    for (what, differ) in [("networks", a.network_hash != b.network_hash), ("machines", a.machine != b.machine)] {
        if differ {
            let _ = writeln!(text, "the {what} differ, so a difference need not be the program's");
        }
    }
    let _ = writeln!(
        text,
        "\n{:<9} {:<11} {:>8} {:>8} {:>15} {:<13}  {:>15}",
        "", "part", "A fps", "B fps", "time B/A", "", "CPU time B/A"
    );
    for row in &b.rows {
        let Some(before) = a.rows.iter().find(|it| (it.width, it.height) == (row.width, row.height)) else {
            let _ = writeln!(text, "{:<9} is in B only", row.name);
            continue;
        };
        for measured in row.parts.iter().filter(|part| !part.repeats.is_empty()) {
            let Some(old) = before.part(measured.part) else { continue };
            let (Some(wall), Some(cpu)) = (ratio(old.wall(), measured.wall()), ratio(old.cpu(), measured.cpu())) else {
                continue;
            };
            let fps = |figure: Figure| number(1.0 / figure.median.max(1e-12));
            let _ = writeln!(
                text,
                "{:<9} {:<11} {:>8} {:>8} {:>15} {:<13}  {:>15} {}",
                row.name,
                measured.part.name(),
                fps(old.wall()),
                fps(measured.wall()),
                told(wall),
                word(wall.2, "faster", "slower"),
                told(cpu),
                word(cpu.2, "less", "more"),
            );
        }
    }
    for row in a.rows.iter().filter(|row| !b.rows.iter().any(|it| (it.width, it.height) == (row.width, row.height))) {
        let _ = writeln!(text, "{:<9} is in A only", row.name);
    }
    let text: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    text + &chain_sentence(a, b)
}

/// The whole in one line a resolution.
fn chain_sentence(a: &Results, b: &Results) -> String {
    let mut text = String::new();
    for row in &b.rows {
        let Some(before) = a.rows.iter().find(|it| (it.width, it.height) == (row.width, row.height)) else { continue };
        let (Some(old), Some(new)) = (before.part(Part::Chain), row.part(Part::Chain)) else { continue };
        let Some((ratio, spread, verdict)) = ratio(old.wall(), new.wall()) else { continue };
        let _ = match verdict {
            Verdict::Same => writeln!(text, "{}: no difference beyond {:.1} %", row.name, spread.max(DRIFT) * 100.0),
            Verdict::Less => writeln!(text, "{}: B is {:.2} times as fast as A", row.name, 1.0 / ratio),
            Verdict::More => writeln!(text, "{}: B is slower, {:.2} times A's time", row.name, ratio),
        };
    }
    text
}

fn told((ratio, spread, _): (f64, f64, Verdict)) -> String {
    format!("{ratio:.3} +/- {:.1} %", spread * 100.0)
}

fn word<'a>(verdict: Verdict, less: &'a str, more: &'a str) -> &'a str {
    match verdict {
        Verdict::Less => less,
        Verdict::More => more,
        Verdict::Same => "no difference",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{measured, row};
    use super::*;

    #[test]
    fn a_difference_must_exceed_the_spread() {
        let figure = |median, spread| Figure { median, spread };
        let verdict = |a, b| ratio(a, b).unwrap().2;
        assert_eq!(verdict(figure(1.0, Some(0.01)), figure(0.9, Some(0.01))), Verdict::Less);
        assert_eq!(verdict(figure(1.0, Some(0.01)), figure(1.1, Some(0.01))), Verdict::More);
        assert_eq!(verdict(figure(1.0, Some(0.2)), figure(1.1, Some(0.01))), Verdict::Same);
        assert_eq!(verdict(figure(1.0, Some(0.0)), figure(1.015, Some(0.0))), Verdict::Same);
        assert_eq!(verdict(figure(1.0, None), figure(1.1, None)), Verdict::Same);
        assert_eq!(ratio(figure(0.0, None), figure(1.0, None)), None);
    }

    #[test]
    fn every_row_is_told_in_words() {
        let a = Results { rows: vec![row()], ..Results::default() };
        let mut faster = row();
        faster.parts[0] = measured(Part::Chain, &[0.16, 0.155, 0.165], 0.31);
        let b = Results { rows: vec![faster], network_hash: "1".to_owned(), ..Results::default() };
        let text = compare(&a, &b);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("1080p: B is 2.00 times as fast as A"), "{text}");
        assert!(text.contains("the networks differ"), "{text}");
        assert_eq!(text.matches("no difference").count(), 12, "{text}");
        let text = compare(&a, &a.clone());
        assert!(text.ends_with("1080p: no difference beyond 4.4 %\n"), "{text}");
        assert!(compare(&a, &Results::default()).contains("1080p     is in A only"));
    }
}
