//! What is in a file: a video with what would be done with it, or a network with what it does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::av::{Input, InputOptions};
use crate::config::{Output, RunConfig, SkipMode};
use crate::error::{Context, Error, Kind, Result};
use crate::head::image::{ImageHead, PictureFacts};
use crate::infer::{self, EngineSettings};
use crate::measure;
use crate::measure::packets;
use crate::model::overrides::Overrides;
use crate::model::{Network, builtin, onnx};
use crate::pipeline::forecast::{Forecast, forecast};
use crate::plan::container::Container;
use crate::plan::encoding::{Pictures, Wishes, default_encoder, plan_encoding};
use crate::plan::memory::WindowBytes;
use crate::plan::windows::Windows;
use crate::plan::{Skip, Threads};
use crate::report::inspect::{Found, Planned, Reuse};
use crate::report::media::Media;
use crate::report::network::Card;
use crate::sequence::is_pattern;
use crate::source::Source;

/// Packets of the source are damaged.
const STATUS_DAMAGED: u8 = 3;

/// Frames that are looked at for what skipping would bring.
const LOOKED_AT: u64 = 300;

/// Tells what is in a video or a network, as JSON or for people; the exit status.
pub fn inspect(file: &OsStr, json: bool) -> Result<u8> {
    let path = Path::new(file);
    let name = file.to_string_lossy();
    let builtin = builtin::list().iter().find(|builtin| builtin.name == name).filter(|_| !path.exists());
    let card = if let Some(builtin) = builtin {
        Some(of_network(name.into_owned(), builtin.graph(), &Overrides::default(), Some(builtin.network()))?)
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        let graph = onnx::load(path)?;
        Some(of_network(name.into_owned(), Some(graph), &measure::network_overrides(path, None)?, None)?)
    } else {
        None
    };
    match card {
        Some(card) if json => super::print_json(&card.json()).map(|()| 0),
        Some(card) => super::print(card.text().as_bytes()).map(|()| 0),
        None => of_video(file, json).context(|| file.to_string_lossy()),
    }
}

/// What a network's graph says, and what it does when it is run.
fn of_network(
    name: String,
    graph: Option<onnx::LoadedGraph>,
    overrides: &Overrides,
    in_code: Option<Network>,
) -> Result<Card> {
    let mut said = overrides.conclusions("said in the TOML beside the file");
    let (mut cost, mut network) = (0.0, Err("it could not be read".to_owned()));
    if let Some(graph) = &graph {
        let of_file = Overrides::from_metadata(&graph.facts.metadata).conclusions("said in the file's metadata");
        // The scale stands among the graph's own facts.
        let known = |fact: &str| fact == "scale" || said.iter().any(|conclusion| conclusion.fact == fact);
        let of_file: Vec<_> = of_file.into_iter().filter(|conclusion| !known(conclusion.fact)).collect();
        said.extend(of_file);
        cost = graph.facts.multiply_adds_per_pixel.unwrap_or(0.0);
        network = match graph.network(name.clone(), overrides) {
            Ok(network) => Ok(network),
            // A mistake in the TOML is the person's, a network that cannot be run is a finding.
            Err(error) if error.kind() == Kind::Usage => return Err(error.context(name)),
            Err(error) => Err(error.to_string()),
        };
    }
    let network = in_code.map_or(network, Ok);
    let trial = match &network {
        Ok(network) => measure::network::trial(network, cost).map_err(|error| error.to_string()),
        Err(_) => Err("it gives no picture from a picture, and finds nothing that is known".to_owned()),
    };
    Ok(Card { name, graph: graph.map(|graph| graph.facts), said, facts: network.map(|network| network.facts), trial })
}

/// What a container holds, what its packets say, and what would be done by default.
fn of_video(file: &OsStr, json: bool) -> Result<u8> {
    let path = Path::new(file);
    if measure::is_read_once(path) {
        let message =
            format!("{}: to be looked at it is opened more than once; give a file, not a pipe", path.display());
        return Err(Error::new(Kind::Usage, message));
    }
    if !path.exists() && is_pattern(path) {
        let message = "numbered pictures are not inspected together; name one, or ask a run with --dry-run";
        return Err(Error::new(Kind::Usage, message));
    }
    let mut input = Input::open(path, &InputOptions::default())?;
    let media = Media::of(&input);
    let packets = packets::read(&mut input)?;
    let video = input.best_video();
    drop(input);
    let container = match Container::of(path) {
        Container::Other => Container::Matroska,
        known => known,
    };
    let planned = planned(file, container).map_err(|error| error.to_string());
    let status = if packets.damage.is_empty() { 0 } else { STATUS_DAMAGED };
    let found = Found { name: file.to_string_lossy().into_owned(), media, packets, video, planned };
    if json {
        super::print_json(&found.json())?
    } else {
        super::print(found.text().as_bytes())?
    }
    Ok(status)
}

/// What a run without options would do with the file, for an output in `container`.
fn planned(file: &OsStr, container: Container) -> Result<Planned> {
    let muxer = container.muxer().ok_or_else(|| Error::new(Kind::Internal, "a container without a muxer"))?;
    let extension = if container == Container::Matroska { "mkv" } else { muxer };
    let output = PathBuf::from(format!("output.{extension}"));
    let config = RunConfig { input: file.to_owned(), output: Output::File(output), ..RunConfig::default() };
    let threads = Threads::new(&config, measure::hardware());
    let mut opened = measure::open_source(&config, threads.decoder)?;
    let rest = measure::rest(&config, &opened, container, muxer)?;
    let source = opened.source.facts().clone();
    let network = measure::open_network(&config)?;
    let size = (source.width * network.facts.scale, source.height * network.facts.scale);
    let facts = measure::encoder(default_encoder(container, source.format, size))?;
    let pictures =
        Pictures { format: source.format.planar(), size, field_order: source.field_order, hdr: &source.side_data };
    let encoding = plan_encoding(&facts, &Wishes::default(), container, pictures, threads.encoder)?;
    let warnings = opened.source.warnings();
    let reuse = reuse(&config, opened.source.as_mut(), &network, threads.workers);
    Ok(Planned {
        output: format!(".{extension}"),
        network: network.name,
        size,
        encoding,
        streams: rest.streams,
        warnings,
        reuse: reuse.map_err(|error| error.to_string()),
    })
}

/// What each way of skipping would bring for the first frames.
fn reuse(config: &RunConfig, source: &mut dyn Source, network: &Network, workers: usize) -> Result<Vec<Reuse>> {
    let facts = source.facts();
    let picture = PictureFacts { format: facts.format, width: facts.width, height: facts.height, color: facts.color };
    let head = ImageHead::new(&network.facts, picture)?;
    let working = infer::working(network, &infer::choose(network, &EngineSettings::default())?)?;
    let of_window = WindowBytes::new(&network.facts, &head, working);
    let way = |(mode, skip)| {
        let config = RunConfig { skip: mode, ..config.clone() };
        Ok((skip, Windows::new(&config, &head, &network.facts, of_window, workers)?))
    };
    let ways = [(SkipMode::Exact, Skip::Exact), (SkipMode::Near, Skip::Near(config.skip_psnr))];
    let ways = ways.into_iter().map(way).collect::<Result<Vec<_>>>()?;
    let found = forecast(source, &head, ways, LOOKED_AT)?;
    let tell = |found: Forecast| Reuse {
        skip: if found.skip == Skip::Exact { "exact" } else { "near" },
        n_frames: found.n_frames,
        dirty_share: found.dirty_share,
        computed_share: found.computed_share,
        gain: found.gain,
    };
    Ok(found.into_iter().map(tell).collect())
}
