//! scratch
use std::path::Path;
#[test]
fn scratch() {
    for path in std::env::var("NETS").unwrap().split(':') {
        match vproc::model::onnx::load(Path::new(path)) {
            Err(e) => println!("REFUSED {e}"),
            Ok(g) => {
                println!("== {path} refusal {:?} radius {:?} m {} scale {:?} batch {:?} size {:?} out {:?}", g.facts.refusal(), g.facts.radius, g.facts.multiple_of, g.facts.scale, g.facts.fixed_batch, g.facts.fixed_size, g.facts.output);
                for c in &g.facts.conclusions { println!("   {}: {} ({})", c.fact, c.value, c.reason); }
            }
        }
    }
}
