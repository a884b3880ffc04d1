//! The results as a table for people, at most 100 columns wide.

use std::fmt::Write;

use super::{Figure, Measured, Results, Row};

/// Other programs that take more of the machine than this are told of.
const QUIET: f64 = 0.05;

/// The table.
pub fn table(results: &Results) -> String {
    let mut text = String::new();
    let machine = &results.machine;
    // Writing into a string cannot fail, here and below.
    let _ =
        writeln!(text, "vproc {}: {} on {} cores of {}", results.vproc, results.network, machine.cores, machine.cpu);
    for row in &results.rows {
        text.push('\n');
        text += &row_text(row, machine.cores);
    }
    text
}

fn row_text(row: &Row, cores: usize) -> String {
    let mut text = format!("{}: {}", row.name, row.input);
    if let Some(reason) = &row.skipped {
        let _ = writeln!(text, "\n  skipped: {reason}");
        return text;
    }
    let _ = writeln!(text, "\n  {}, {}", row.engine, row.encoder);
    let _ = writeln!(
        text,
        "  workers {}, threads: decoder {}, encoder {}; windows a frame {}; plan about {}",
        row.workers,
        row.decoder_threads,
        row.encoder_threads,
        row.windows,
        mib(row.memory_bytes)
    );
    let _ = writeln!(
        text,
        "  {:<12} {:>7} {:>8} {:>9} {:>7}   {:>14} {:>7}   {:>9}",
        "part", "repeats", "frames", "fps", "+/-", "CPU ms a frame", "+/-", "peak RSS"
    );
    for measured in &row.parts {
        text += &part_text(measured);
    }
    if let (Some(limit), Some(efficiency)) = (row.limit(cores), row.efficiency(cores)) {
        let why = match limit.slowest {
            Some(part) => format!("the part {} alone", part.name()),
            None => format!("CPU time of the parts on {cores} cores"),
        };
        let _ = writeln!(
            text,
            "  limit {} fps ({why}); the chain reaches {:.1} % of it",
            number(1.0 / limit.wall.max(1e-12)),
            efficiency * 100.0
        );
    }
    if let Some(ratio) = row.ratio_to_plain() {
        let engine = &row.plain_engine;
        let _ = writeln!(
            text,
            "  {:.2} times as fast as the plain loop (+/- {}; {engine}, {cores} threads)",
            ratio.median,
            spread(ratio)
        );
    }
    let others = row.others(cores);
    if others > QUIET {
        let _ =
            writeln!(text, "  other programs took {:.0} % of the machine: believe the CPU times only", others * 100.0);
    }
    text
}

fn part_text(measured: &Measured) -> String {
    let name = measured.part.name();
    let mut text = String::new();
    if let (true, Some(reason)) = (measured.repeats.is_empty(), &measured.skipped) {
        let _ = writeln!(text, "  {name:<12} skipped: {reason}");
        return text;
    }
    let (wall, cpu) = (measured.wall(), measured.cpu());
    // Of parts in a worker, the frames of all workers together.
    let _ = writeln!(
        text,
        "  {name:<12} {:>7} {:>8} {:>9} {:>7}   {:>14} {:>7}   {:>9}",
        measured.repeats.len(),
        measured.repeats.first().map_or(0, |repeat| repeat.frames),
        number(1.0 / wall.median.max(1e-12)),
        spread(wall),
        number(cpu.median * 1000.0),
        spread(cpu),
        mib(measured.peak_rss_bytes())
    );
    text
}

/// Three digits that count, or all before the point.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub(super) fn spread(figure: Figure) -> String {
    figure.spread.map_or("-".to_owned(), |spread| format!("{:.1} %", spread * 100.0))
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;
    use crate::report::bench::Machine;

    #[test]
    fn the_table_fits_and_says_what_counts() {
        let machine = Machine { cpu: "A processor with a name".to_owned(), cores: 2, ..Machine::default() };
        let skipped = Row { name: "8k".to_owned(), skipped: Some("needs 9 GiB".to_owned()), ..Row::default() };
        let mut busy = row();
        busy.parts[0].repeats[0].others_cpu_seconds = 30.0;
        let results = Results { machine, rows: vec![row(), skipped, busy], ..Results::default() };
        let text = table(&results);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("skipped: needs 9 GiB"), "{text}");
        assert!(text.contains("limit 3.33 fps (CPU time of the parts on 2 cores); the chain reaches 93.8 %"), "{text}");
        assert!(text.contains("1.50 times as fast as the plain loop (+/- 0.0 %; ort, 2 threads)"), "{text}");
        assert_eq!(text.matches("other programs").count(), 1, "{text}");
    }
}
