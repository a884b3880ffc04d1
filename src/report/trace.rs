//! The trace: what every thread did when, in the Trace Event Format that Chrome and Perfetto open.
//!
//! A row a thread, a complete event (`X`, begun and lasted in microseconds) a span, counters (`C`) for queues, CPU and
//! memory. Events stand in order of time. Only plain data comes in; who measured it is not known here.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::json::write_whole;
use crate::error::Result;

/// What one thread did.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The thread's name.
    pub name: String,
    /// In order of time.
    pub spans: Vec<Span>,
}

/// One activity.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// Whether it was waiting.
    pub waits: bool,
    /// Microseconds since the beginning.
    pub begun: f64,
    /// Microseconds.
    pub lasted: f64,
    /// The frame.
    pub frame: u32,
}

/// How a run went at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    /// Seconds since the beginning.
    pub seconds: f64,
    /// Frames put away.
    pub frames: u64,
    /// Frames that no worker has begun.
    pub waiting: u64,
    /// Frames with a worker.
    pub working: u64,
    /// Frames finished and not put away.
    pub finished: u64,
    /// Processors in use since the moment before.
    pub cpus: f64,
    /// Memory resident, in bytes.
    pub rss_bytes: u64,
}

/// Writes the trace of a run, whole or not at all.
pub fn write_trace(path: &Path, rows: &[Row], moments: &[Moment]) -> Result<()> {
    let mut events: Vec<(f64, Value)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let thread = number + 1;
        events.push((
            0.0,
            json!({"ph": "M", "pid": 1, "tid": thread, "ts": 0, "name": "thread_name", "args": {"name": row.name}}),
        ));
        let order = json!({"ph": "M", "pid": 1, "tid": thread, "ts": 0, "name": "thread_sort_index", "args": {"sort_index": number}});
        events.push((0.0, order));
        for span in &row.spans {
            let kind = if span.waits { "wait" } else { "work" };
            let event = json!({"ph": "X", "pid": 1, "tid": thread, "ts": span.begun, "dur": span.lasted,
                "name": span.name, "cat": kind, "args": {"frame": span.frame}});
            events.push((span.begun, event));
        }
    }
    for moment in moments {
        let at = moment.seconds * 1e6;
        let mut counter = |name: &str, values: Value| {
            events.push((at, json!({"ph": "C", "pid": 1, "tid": 0, "ts": at, "name": name, "args": values})));
        };
        counter("frames", json!({"waiting": moment.waiting, "working": moment.working, "finished": moment.finished}));
        counter("cpus", json!({"used": moment.cpus}));
        counter("memory", json!({"MiB": moment.rss_bytes >> 20}));
    }
    // Stable, so that what names a thread stays before what it did.
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    write_whole(path, "trace", |out| {
        out.write_all(b"{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n")?;
        for (index, (_, event)) in events.iter().enumerate() {
            let end = if index + 1 == events.len() { "\n" } else { ",\n" };
            write!(out, "{event}{end}")?;
        }
        out.write_all(b"]}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_json_in_order_of_time_with_a_name_for_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let span = |name, begun, lasted| Span { name, waits: name == "starved", begun, lasted, frame: 3 };
        let rows = [
            Row { name: "decode \"x\"".into(), spans: vec![span("decode", 5.0, 2.5), span("blocked", 7.5, 1.0)] },
            Row { name: "work-0".into(), spans: vec![span("starved", 0.0, 8.0)] },
        ];
        let moment = Moment { seconds: 6e-6, frames: 1, ..Moment::default() };
        write_trace(&path, &rows, &[moment]).unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let events = value["traceEvents"].as_array().unwrap();
        let times: Vec<f64> = events.iter().map(|event| event["ts"].as_f64().unwrap()).collect();
        assert!(times.is_sorted());
        let of = |kind: &str| events.iter().filter(|event| event["ph"] == kind).collect::<Vec<_>>();
        assert_eq!((of("M").len(), of("X").len(), of("C").len()), (4, 3, 3));
        assert_eq!(of("M")[0]["args"]["name"], "decode \"x\"");
        assert_eq!((of("X")[0]["cat"].as_str(), of("X")[1]["dur"].as_f64()), (Some("wait"), Some(2.5)));
    }
}
