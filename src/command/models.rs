//! The built-in networks.

use serde_json::{Value, json};

use crate::error::Result;
use crate::model::builtin::{self, Builtin};
use crate::report::network::metadata;

/// Lists the built-in networks, as JSON or for people; the exit status.
pub fn models(json: bool) -> Result<u8> {
    let all = builtin::list();
    if json {
        let models: Value = all.iter().map(card).collect();
        super::print_json(&json!({ "models": models }))?;
        return Ok(0);
    }
    let mut text =
        format!("{:<16} {:>5} {:>6} {:>10} {:>13}  about\n", "name", "scale", "radius", "parameters", "mult-adds/px");
    for builtin in all {
        let (facts, graph) = (builtin.network().facts, builtin.graph());
        let radius = facts.radius.map_or("whole".to_owned(), |radius| radius.to_string());
        let parameters = graph.as_ref().map_or(0, |graph| graph.facts.parameters);
        let cost = graph.as_ref().and_then(|graph| graph.facts.multiply_adds_per_pixel).unwrap_or(0.0);
        let name = builtin.name;
        text +=
            &format!("{name:<16} {:>5} {radius:>6} {parameters:>10} {cost:>13.0}  {}\n", facts.scale, builtin.about);
        if let Some(figures) = graph.and_then(|graph| metadata(&graph.facts).remove("figures")) {
            text += &figures_text(&figures);
        }
    }
    super::print(text.as_bytes())?;
    Ok(0)
}

fn card(builtin: &Builtin) -> Value {
    let (facts, graph) = (builtin.network().facts, builtin.graph().map(|graph| graph.facts));
    json!({
        "name": builtin.name,
        "about": builtin.about,
        "scale": facts.scale,
        "receptive_radius": facts.radius,
        "parameters": graph.as_ref().map_or(0, |graph| graph.parameters),
        "multiply_adds_per_pixel": graph.as_ref().and_then(|graph| graph.multiply_adds_per_pixel).unwrap_or(0.0),
        "activation_bytes_per_pixel": graph.as_ref().and_then(|graph| graph.activation_bytes_per_pixel),
        "metadata": graph.as_ref().map(metadata),
    })
}

/// What training measured on clips that it never saw: `held_out: {condition: {clip: [psnr, ssim, ..]}}`, a mean a
/// condition. Other shapes say nothing here and are in the JSON.
fn figures_text(figures: &Value) -> String {
    let mut text = String::new();
    let conditions = figures.get("held_out").and_then(Value::as_object);
    for (condition, clips) in conditions.into_iter().flatten() {
        if let (Some(psnr), Some(ssim)) = (mean(clips, 0), mean(clips, 1)) {
            // Against the input, or, for what has another size, against bicubic.
            let bicubic = || mean(figures.get("bicubic")?.get(condition)?, 0).map(|it| (psnr - it, "bicubic"));
            let gain = mean(clips, 2).map(|gain| (gain, "its input")).or_else(bicubic);
            let gain = gain.map_or_else(String::new, |(gain, over)| format!(" ({gain:+.2} over {over})"));
            let n = clips.as_object().map_or(0, |clips| clips.len());
            text += &format!("{:16} {condition}: {psnr:.2} dB{gain}, SSIM {ssim:.4}, mean of {n} held-out clips\n", "");
        }
    }
    text
}

/// The mean over the clips of the figure at this place; `None` where it is not there.
fn mean(clips: &Value, at: usize) -> Option<f64> {
    let values: Option<Vec<f64>> = clips.as_object()?.values().map(|figures| figures.get(at)?.as_f64()).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_any_shape_are_told_or_left_out() {
        let figures = json!({ "held_out": { "clean": { "a": [40.0, 0.98], "b": [42.0, 0.96] } } });
        assert_eq!(figures_text(&figures).trim(), "clean: 41.00 dB, SSIM 0.9700, mean of 2 held-out clips");
        let with_gain = json!({ "held_out": { "crf32": { "a": [40.0, 0.98, 0.25, 1.0] } } });
        assert!(figures_text(&with_gain).contains("40.00 dB (+0.25 over its input), SSIM"));
        let scaled = json!({ "held_out": { "x": { "a": [40.0, 0.98] } }, "bicubic": { "x": { "a": [38.5, 0.9] } } });
        assert!(figures_text(&scaled).contains("40.00 dB (+1.50 over bicubic), SSIM"));
        for other in [json!(3), json!({ "held_out": 1 }), json!({ "held_out": { "x": { "a": ["y"] } } })] {
            assert_eq!(figures_text(&other), "");
        }
    }
}
