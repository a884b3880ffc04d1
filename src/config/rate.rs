//! What decides the rate of the encoder: a crf, or an option of the encoder's own such as `qp` or `b`.
//!
//! One of them can count. What a stronger layer says takes the place of what weaker ones say, whichever of the two ways
//! each says it in. Both in one layer are left to the plan, which knows the encoder and whether it takes both.

use std::ffi::OsString;

use super::{Origin, RunConfig};

/// Options of encoders, and entries of their parameter strings, that decide the rate by themselves. Those that only
/// bound it (`maxrate`, `bufsize`) go with a crf.
const RATES: [&str; 9] = ["crf", "qp", "b", "bitrate", "q", "qscale", "global_quality", "rc", "tbr"];

/// Whether an option of an encoder decides the rate, by itself or by an entry of its list of parameters.
pub fn decides_rate(key: &str, value: &str) -> bool {
    match is_list(key) {
        true => value.split(':').any(is_rate),
        false => is_rate(&format!("{key}={value}")),
    }
}

/// Whether `key=value` decides the rate. Nought is a quality to some, and to the others no rate at all.
fn is_rate(entry: &str) -> bool {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    RATES.contains(&key) && (value != "0" || matches!(key, "crf" | "qp"))
}

fn is_list(key: &str) -> bool {
    key.ends_with("params") || key.ends_with("opts")
}

/// An option without what decides the rate; `None` if nothing is left of it.
fn without_rate((key, value): &(String, String)) -> Option<(String, String)> {
    if !is_list(key) {
        return (!decides_rate(key, value)).then(|| (key.clone(), value.clone()));
    }
    let left: Vec<&str> = value.split(':').filter(|entry| !is_rate(entry)).collect();
    (!left.is_empty()).then(|| (key.clone(), left.join(":")))
}

impl RunConfig {
    /// `origin`, which is as strong as any before, has said `name`: if that decides the rate, what weaker layers said of
    /// it goes.
    pub(super) fn settle_rate(&mut self, name: &str, origin: &Origin) {
        match name {
            "encoder-opt"
                if self.origin("crf") != *origin
                    && self.encoder_options.iter().any(|(key, value)| decides_rate(key, value)) =>
            {
                self.crf = None;
                self.said.remove("crf");
            }
            "crf" if self.origin("encoder-opt") != *origin => {
                let left: Vec<_> = self.encoder_options.iter().filter_map(without_rate).collect();
                if left != self.encoder_options {
                    self.encoder_options = left;
                    self.tell_options();
                }
            }
            _ => {}
        }
    }

    /// Of the encoder's options, what is left counts as said.
    fn tell_options(&mut self) {
        let texts: Vec<String> = self.encoder_options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if texts.is_empty() {
            self.said.remove("encoder-opt");
        } else if let Some(said) = self.said.get_mut("encoder-opt") {
            said.text = texts.join(",");
            said.values = texts.into_iter().map(OsString::from).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of the crf and of the options, each said by a layer of this strength.
    fn settled(said: &[(&str, &str, u8)]) -> (Option<f64>, Vec<String>) {
        let mut config = RunConfig::default();
        for (name, text, layer) in said {
            let origin = Origin::File(layer.to_string().into());
            config.set(name, &[OsString::from(text)], &origin).unwrap();
        }
        let options: Vec<String> = config.encoder_options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let told = config.said.get("encoder-opt").map(|said| said.text.clone()).unwrap_or_default();
        assert!(options.is_empty() == told.is_empty() && config.crf.is_some() == config.said.contains_key("crf"));
        (config.crf, options)
    }

    #[test]
    fn of_two_ways_to_say_the_rate_the_stronger_layer_s_counts() {
        for option in ["qp=0", "b=2M", "crf=30", "x264-params=keyint=9:qp=5", "svtav1-params=rc=1:tbr=500"] {
            let (crf, options) = settled(&[("crf", "20", 1), ("encoder-opt", option, 2)]);
            assert_eq!((crf, options), (None, vec![option.to_owned()]));
        }
        let with = |options: &str| settled(&[("encoder-opt", options, 1), ("crf", "20", 2)]);
        assert_eq!(with("qp=0"), (Some(20.0), vec![]));
        assert_eq!(with("qp=0:tune=film"), (Some(20.0), vec!["tune=film".to_owned()]));
        assert_eq!(with("x264-params=keyint=9:qp=5"), (Some(20.0), vec!["x264-params=keyint=9".to_owned()]));
        // The rate that a layer before the last said is no less weak.
        assert_eq!(settled(&[("crf", "20", 1), ("encoder-opt", "qp=0", 2), ("crf", "30", 3)]), (Some(30.0), vec![]));
    }

    #[test]
    fn what_goes_together_is_kept() {
        for option in ["g=9", "maxrate=4M:bufsize=8M", "b=0", "x264-params=keyint=9", "deblock=1:1"] {
            assert_eq!(settled(&[("crf", "20", 1), ("encoder-opt", option, 2)]).0, Some(20.0), "{option}");
            assert!(!settled(&[("encoder-opt", option, 1), ("crf", "20", 2)]).1.is_empty(), "{option}");
        }
        // One layer's words are judged where the encoder is known.
        assert_eq!(settled(&[("crf", "20", 1), ("encoder-opt", "b=2M", 1)]), (Some(20.0), vec!["b=2M".to_owned()]));
    }
}
