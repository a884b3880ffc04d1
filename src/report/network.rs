//! What is known of a network: for `inspect` and `models` to tell. The words of the JSON are spandrel's and ours.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::network::Trial;
use crate::model::onnx::facts::{Conclusion, GraphFacts};
use crate::model::onnx::labels;
use crate::model::{Detector, DetectorSize, Family, NetworkFacts};

/// What a network is and does.
pub struct Card {
    /// Its name or file.
    pub name: String,
    /// What was concluded from its graph; `None` for one that is code.
    pub graph: Option<GraphFacts>,
    /// What a TOML or the file's metadata say, after what the graph says.
    pub said: Vec<Conclusion>,
    /// What is needed to run it, or why it cannot.
    pub facts: Result<NetworkFacts, String>,
    /// What a short run showed, or why there was none.
    pub trial: Result<Trial, String>,
}

impl Card {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut tell = |what: &str, value: String| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{what:<28} {value}");
        };
        tell("network", self.name.clone());
        if let Some(graph) = &self.graph {
            let from = if graph.producer.is_empty() { "an unnamed program" } else { &graph.producer };
            tell("format", format!("opset {}, IR {}, written by {from}", graph.opset, graph.ir_version));
            graph.outputs.iter().take(3).for_each(|port| tell("output", port.to_string()));
            let operators = graph.operators.iter().take(12).map(|(name, count)| format!("{count} {name}"));
            tell("operators", operators.collect::<Vec<_>>().join(", "));
        }
        for Conclusion { fact, value, reason } in self.conclusions() {
            tell(fact, if reason.is_empty() { value } else { format!("{value} ({reason})") });
        }
        match (&self.facts, &self.trial) {
            (Err(refusal), _) => tell("not for pictures", refusal.clone()),
            (Ok(facts), trial) => {
                tell("exact tiles", self.tiling(facts).1);
                match trial {
                    Ok(trial) => tell_trial(trial, &mut tell),
                    Err(why) => tell("not run", why.clone()),
                }
            }
        }
        if let Some(graph) = &self.graph {
            graph.metadata.iter().for_each(|(key, value)| tell("metadata", format!("{key} = {}", short(value))));
        }
        text
    }

    fn conclusions(&self) -> Vec<Conclusion> {
        let graph = self.graph.iter().flat_map(|graph| graph.conclusions.clone());
        let mut all: Vec<Conclusion> = graph.chain(self.said.clone()).collect();
        if let Ok(facts) = &self.facts {
            let known: Vec<_> = all.iter().map(|conclusion| conclusion.fact).collect();
            let said = |fact: &str| known.contains(&fact);
            let input = &facts.input;
            let reason = match &facts.detector {
                Some(detector) => format!(
                    "as {} networks take it, no graph says it; a TOML beside the file may",
                    detector.family.name()
                ),
                None => "assumed, no graph says it; a TOML beside the file may".to_owned(),
            };
            let found = facts.detector.iter().flat_map(found).filter(|conclusion| !said(conclusion.fact));
            let mut more: Vec<Conclusion> = found.collect();
            if !said("channels") {
                let value = format!("{:?}", input.channels).to_lowercase();
                more.push(Conclusion { fact: "channels", value, reason: reason.clone() });
            }
            if !said("black") && !said("white") {
                let value = format!("{} to {}", input.black, input.white);
                more.push(Conclusion { fact: "black to white", value, reason });
            }
            all.extend(more);
        }
        all
    }

    /// Whether tiles give the bits of the whole, in a word and a sentence.
    fn tiling(&self, facts: &NetworkFacts) -> (&'static str, String) {
        let confirmed = self.trial.as_ref().ok().and_then(|trial| Some(trial.probe.as_ref()?.tiling_exact));
        match (facts.radius, confirmed) {
            (None, _) => ("none", "no: it looks at the whole picture".to_owned()),
            (Some(_), Some(false)) => ("none", "no: the run contradicts the graph".to_owned()),
            (Some(radius), Some(true)) => ("exact", format!("yes: with a halo of {radius}, confirmed by a run")),
            (Some(radius), None) => ("exact", format!("yes by the graph: with a halo of {radius}")),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut card = Map::new();
        card.insert("name".to_owned(), json!(self.name));
        if let Some(graph) = &self.graph {
            card.extend(graph_json(graph));
        }
        let conclusions = self.conclusions().into_iter();
        let conclusions = conclusions.map(|it| json!({ "fact": it.fact, "value": it.value, "reason": it.reason }));
        card.insert("conclusions".to_owned(), conclusions.collect());
        card.insert("refusal".to_owned(), json!(self.facts.as_ref().err()));
        if let Ok(facts) = &self.facts {
            card.extend(facts_json(facts));
            card.insert("tiling".to_owned(), json!(self.tiling(facts).0));
        }
        match &self.trial {
            Ok(trial) => card.insert("measured".to_owned(), trial_json(trial)),
            Err(why) => card.insert("not_measured".to_owned(), json!(why)),
        };
        Value::Object(card)
    }
}

fn tell_trial(trial: &Trial, tell: &mut dyn FnMut(&str, String)) {
    let (width, height) = trial.size;
    let how = format!("on one core ({} at {width}x{height})", trial.engine);
    let Some(probe) = &trial.probe else {
        tell("speed", format!("{:.1} ms a picture {how}", trial.ms_per_picture()));
        tell("note", "not probed: a network that finds things gets whole pictures".to_owned());
        return;
    };
    tell("speed", format!("{:.1} ms a megapixel {how}", trial.ms_per_megapixel));
    tell("seen reach", format!("{} pixels, a lower bound of the radius", probe.observed_radius));
    if let Some((black, white)) = probe.range {
        tell("seen range", format!("grey stays grey in [{black}, {white}]"));
    }
    probe.notes.iter().for_each(|note| tell("note", note.clone()));
}

/// What is told of a network that finds things.
fn found(detector: &Detector) -> Vec<Conclusion> {
    let say = |fact, value: String, reason: &str| Conclusion { fact, value, reason: reason.to_owned() };
    let (of_family, of_graph) = ("as networks of this family are", "sizes followed through the graph, or declared");
    let why = match detector.family {
        Family::Yunet => "twelve outputs with the names and sizes of its parts",
        Family::Yolox => "one output with a row for each cell of its grids",
        Family::YoloV5 => "an output with three rows for each cell of its grids",
        Family::YoloV8 => "one output with a column for each cell of its grids",
        Family::Sorted(_) => "one output with rows of six numbers: two corners, score and class",
    };
    let size = match detector.size {
        DetectorSize::Fixed(width, height) => format!("{width}x{height}"),
        DetectorSize::Free { multiple_of, side: None } => format!("sides that are multiples of {multiple_of}"),
        DetectorSize::Free { multiple_of, side: Some(side) } => {
            format!("sides that are multiples of {multiple_of}, the longer one {side}")
        }
    };
    let strides: Vec<String> = detector.strides.iter().map(usize::to_string).collect();
    let classes = detector.n_classes().map_or("no number says".to_owned(), |n| n.to_string());
    let mut all = vec![say("detector", detector.family.name().to_string(), why), say("pictures", size, of_graph)];
    if !strides.is_empty() {
        all.push(say("strides", strides.join(", "), "by how many candidates there are"));
    }
    all.push(say("numbers a candidate", detector.n_values.to_string(), of_graph));
    all.push(say("classes", classes, of_family));
    if !detector.labels.is_empty() {
        all.push(say("labels", labels::shown(&detector.labels), "the usual ones of so many classes"));
    }
    all
}

fn detector_json(facts: &NetworkFacts) -> Option<Value> {
    let detector = facts.detector.as_ref()?;
    Some(json!({
        "family": detector.family.name().to_string(),
        "size_requirements": size_requirements(facts),
        "strides": detector.strides,
        "values_per_candidate": detector.n_values,
        "sorted_boxes": if let Family::Sorted(n) = detector.family { Some(n) } else { None },
        "classes": detector.n_classes(),
        "labels": detector.labels,
        "channels": format!("{:?}", facts.input.channels).to_lowercase(),
        "range": [facts.input.black, facts.input.white],
    }))
}

/// Sizes of the pictures that a network takes.
fn size_requirements(facts: &NetworkFacts) -> Value {
    let (multiple_of, fixed) = match facts.detector.as_ref().map(|detector| detector.size) {
        Some(DetectorSize::Fixed(width, height)) => (1, Some((width, height))),
        Some(DetectorSize::Free { multiple_of, .. }) => (multiple_of, None),
        None => (facts.multiple_of, facts.fixed_size),
    };
    json!({ "multiple_of": multiple_of, "fixed": fixed.map(|(width, height)| [width, height]) })
}

fn trial_json(trial: &Trial) -> Value {
    let probe = trial.probe.as_ref();
    json!({
        "engine": trial.engine,
        "ms_per_megapixel": trial.ms_per_megapixel,
        "ms_per_picture": trial.ms_per_picture(),
        "size": [trial.size.0, trial.size.1],
        "observed_radius": probe.map(|probe| probe.observed_radius),
        "tiling_exact": probe.map(|probe| probe.tiling_exact),
        "range": probe.and_then(|probe| probe.range).map(|(black, white)| [black, white]),
        "notes": probe.map(|probe| probe.notes.clone()).unwrap_or_default(),
    })
}

/// What the graph alone says.
fn graph_json(graph: &GraphFacts) -> Map<String, Value> {
    let ports = |ports: &[crate::model::onnx::facts::PortFacts]| -> Value {
        ports.iter().map(|port| json!({ "name": port.name, "declared": port.to_string() })).collect()
    };
    let value = json!({
        "producer": graph.producer,
        "ir_version": graph.ir_version,
        "opset": graph.opset,
        "metadata": metadata(graph),
        "inputs": ports(&graph.inputs),
        "outputs": ports(&graph.outputs),
        "operators": graph.operators.iter().map(|(name, n)| (name.clone(), json!(n))).collect::<Map<_, _>>(),
        "parameters": graph.parameters,
        "multiply_adds_per_pixel": graph.multiply_adds_per_pixel,
        "activation_bytes_per_pixel": graph.activation_bytes_per_pixel,
        "input_channels": graph.channels,
        "output_channels": graph.output.map(|(_, channels)| channels),
        "scale": graph.scale,
        "receptive_radius": graph.radius,
        "size_requirements": { "multiple_of": graph.multiple_of, "fixed": graph.fixed_size.map(|(w, h)| [w, h]) },
        "fixed_batch": graph.fixed_batch,
    });
    let Value::Object(map) = value else { return Map::new() };
    map
}

/// What holds after corrections.
fn facts_json(facts: &NetworkFacts) -> Map<String, Value> {
    // What finds things gives no picture.
    let of_pictures = |number: usize| facts.detector.is_none().then_some(number);
    let value = json!({
        "scale": of_pictures(facts.scale),
        "receptive_radius": facts.radius,
        "global_operator": facts.radius.is_none(),
        "size_requirements": size_requirements(facts),
        "fixed_batch": facts.fixed_batch,
        "input_channels": facts.input.channels.count(),
        "output_channels": of_pictures(facts.output.channels.count()),
        "detector": detector_json(facts),
    });
    let Value::Object(map) = value else { return Map::new() };
    map
}

/// The keys and values of the file; figures that are JSON themselves stay JSON.
pub fn metadata(graph: &GraphFacts) -> Map<String, Value> {
    let parsed = |value: &String| match serde_json::from_str(value) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(value.clone()),
    };
    graph.metadata.iter().map(|(key, value)| (key.clone(), parsed(value))).collect()
}

/// On one line, and not too long a one.
fn short(value: &str) -> String {
    let line: String = value.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if line.chars().count() <= 100 { line } else { format!("{}...", line.chars().take(97).collect::<String>()) }
}
