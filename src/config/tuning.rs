//! Settings that were found to be fast: what `vproc tune` remembers, and what a later run uses where nobody said
//! anything.

use serde::{Deserialize, Serialize};

use super::{RunConfig, Tile};

/// Settings that change how fast a run is. What is `None` is left to the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Workers, 1 or more.
    pub workers: Option<usize>,
    /// Threads inside the decoder, 1 or more.
    pub decoder: Option<usize>,
    /// Threads inside the encoder, 1 or more; they change its bits.
    pub encoder: Option<usize>,
    /// Luma pixels a side of a tile's core.
    pub tile: Option<usize>,
    /// Rows of the windows of full width that frames too large for a worker's memory are run in. How much memory a worker
    /// has depends on how many there are, and the windows decide bits, so runs that others go on with keep theirs.
    pub band: Option<usize>,
    /// The engine by its name on the command line.
    pub engine: Option<String>,
}

/// More threads of a kind, or a larger tile, than any machine gains from: what a damaged file might ask for.
const MOST: usize = 1 << 17;

impl Tuning {
    /// Whether all numbers are possible ones.
    pub fn is_sane(&self) -> bool {
        [self.workers, self.decoder, self.encoder, self.tile, self.band]
            .into_iter()
            .flatten()
            .all(|n| (1..=MOST).contains(&n))
    }

    /// Without what the person has said otherwise: who names threads, workers, an engine or tiles gets those.
    #[must_use]
    pub fn where_unsaid(mut self, config: &RunConfig) -> Tuning {
        let is_said = |name: &str| config.said.contains_key(name);
        if is_said("threads") {
            (self.workers, self.decoder, self.encoder) = (None, None, None);
        }
        if is_said("workers") {
            self.workers = None;
        }
        if is_said("engine") || is_said("precision") || is_said("device") {
            self.engine = None;
        }
        if config.tile != Tile::Auto {
            (self.tile, self.band) = (None, None);
        }
        self
    }

    /// As people read it: `workers 2, decoder threads 1`.
    pub fn describe(&self) -> String {
        let number = |name: &str, value: Option<usize>| value.map(|value| format!("{name} {value}"));
        let parts = [
            number("workers", self.workers),
            number("decoder threads", self.decoder),
            number("encoder threads", self.encoder),
            number("tiles of", self.tile),
            number("bands of", self.band),
            self.engine.as_ref().map(|engine| format!("engine {engine}")),
        ];
        let said: Vec<String> = parts.into_iter().flatten().collect();
        if said.is_empty() { "the built-in settings".to_owned() } else { said.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Origin;
    use super::*;

    #[test]
    fn what_a_person_says_wins() {
        let tuning = Tuning {
            workers: Some(3),
            decoder: Some(1),
            encoder: Some(2),
            tile: Some(256),
            band: Some(120),
            engine: Some("ort".into()),
        };
        let left = |name: &str, value: &str| {
            let mut config = RunConfig::default();
            config.set(name, &[OsString::from(value)], &Origin::CommandLine).unwrap();
            tuning.clone().where_unsaid(&config)
        };
        assert_eq!(left("crf", "20"), tuning);
        assert_eq!(left("workers", "2"), Tuning { workers: None, ..tuning.clone() });
        assert_eq!(left("engine", "openvino"), Tuning { engine: None, ..tuning.clone() });
        assert_eq!(left("device", "cuda:0"), Tuning { engine: None, ..tuning.clone() });
        assert_eq!(left("tile", "off"), Tuning { tile: None, band: None, ..tuning.clone() });
        assert_eq!(left("threads", "2").describe(), "tiles of 256, bands of 120, engine ort");
        assert!(tuning.is_sane() && !Tuning { workers: Some(0), ..tuning }.is_sane());
    }
}
