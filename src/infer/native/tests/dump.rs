use super::*;
#[test]
fn dump() {
    let Some(files) = std::env::var_os("VPROC_DUMP") else { return };
    for path in std::env::split_paths(&files) {
        let network = network_in(&path).unwrap();
        let (w, h) = (320, 180);
        let raw = std::fs::read("/tmp/int8q/input.raw").unwrap();
        let mut input = Tensor::new(Element::F32, [1, 1, h, w]);
        input.bytes_mut().copy_from_slice(&raw);
        let s = network.facts.scale;
        for level in [Level::Avx512, Level::Avx2, Level::Scalar] {
            let mut output = Tensor::new(Element::F32, [1, 1, h * s, w * s]);
            let mut engine = NativeEngine::at(&network, &EngineSettings::default(), level).unwrap();
            engine.run(&input, &mut output).unwrap();
            println!(
                "{} {level} {} rows {} quads {}",
                path.display(),
                engine.program.nodes.len(),
                engine.row_bytes(),
                engine.program.nodes.iter().filter(|n| matches!(n.op, program::Op::Quads(_))).count()
            );
            std::fs::write(path.with_extension(format!("{level}.raw")), output.bytes()).unwrap();
        }
    }
}
