//! What is known of a network: for `inspect` and `models` to tell. The words of the JSON are spandrel's and ours.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::network::Trial;
use crate::model::NetworkFacts;
use crate::model::onnx::facts::{Conclusion, GraphFacts};

/// What a network is and does.
pub struct Card {
    /// Its name or file.
    pub name: String,
    /// What was concluded from its graph; `None` for one that is code.
    pub graph: Option<GraphFacts>,
    /// What a TOML or the file's metadata say, after what the graph says.
    pub said: Vec<Conclusion>,
    /// What is needed to run it on pictures, or why it cannot.
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
            let (input, reason) = (&facts.input, "assumed, no graph says it; a TOML beside the file may");
            if !said("channels") {
                let value = format!("{:?}", input.channels).to_lowercase();
                all.push(Conclusion { fact: "channels", value, reason: reason.to_owned() });
            }
            if !said("black") && !said("white") {
                let value = format!("{} to {}", input.black, input.white);
                all.push(Conclusion { fact: "black to white", value, reason: reason.to_owned() });
            }
        }
        all
    }

    /// Whether tiles give the bits of the whole, in a word and a sentence.
    fn tiling(&self, facts: &NetworkFacts) -> (&'static str, String) {
        let confirmed = self.trial.as_ref().ok().map(|trial| trial.probe.tiling_exact);
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
    let ms = trial.ms_per_megapixel;
    tell("speed", format!("{ms:.1} ms a megapixel on one core ({} at {width}x{height})", trial.engine));
    tell("seen reach", format!("{} pixels, a lower bound of the radius", trial.probe.observed_radius));
    if let Some((black, white)) = trial.probe.range {
        tell("seen range", format!("grey stays grey in [{black}, {white}]"));
    }
    trial.probe.notes.iter().for_each(|note| tell("note", note.clone()));
}

fn trial_json(trial: &Trial) -> Value {
    json!({
        "engine": trial.engine,
        "ms_per_megapixel": trial.ms_per_megapixel,
        "size": [trial.size.0, trial.size.1],
        "observed_radius": trial.probe.observed_radius,
        "tiling_exact": trial.probe.tiling_exact,
        "range": trial.probe.range.map(|(black, white)| [black, white]),
        "notes": trial.probe.notes,
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
    let value = json!({
        "scale": facts.scale,
        "receptive_radius": facts.radius,
        "global_operator": facts.radius.is_none(),
        "size_requirements": { "multiple_of": facts.multiple_of, "fixed": facts.fixed_size.map(|(w, h)| [w, h]) },
        "fixed_batch": facts.fixed_batch,
        "input_channels": facts.input.channels.count(),
        "output_channels": facts.output.channels.count(),
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
