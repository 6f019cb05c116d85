//! The common path of all kinds.

use super::*;
use crate::target::{Double, Pointwise, TargetConfig};

fn described(text: &str) -> Result<Arc<dyn AnyTarget>, String> {
    File { path: "my.toml".into(), text: text.into() }.build().map_err(|e| e.to_string())
}

fn said(text: &str) -> String {
    described(text).err().unwrap_or_default()
}

/// -E and -grad E at one point.
fn at(target: &dyn AnyTarget, x: &[f64]) -> (f64, Vec<f64>) {
    let (mut log_p, mut score) = ([0.0], vec![0.0; x.len()]);
    target.double().evaluate(x, &mut log_p, &mut score).unwrap();
    (log_p[0], score)
}

#[test]
fn wrong_descriptions_are_named_with_line_and_column() {
    let base = "kind = \"formula\"\ndim = 1\nenergy = \"x[0]^2\"\n";
    for (text, want) in [
        ("kind = ", "my.toml:1:8: "),
        ("dim = 1\n", "my.toml: the key kind is missing; give it, as kind = \"formula\" ("),
        ("kind = \"formla\"\n", "my.toml:1:8: kind = \"formla\" is not known, did you mean formula? ("),
        ("kind = 3\n", "my.toml:1:8: kind wants a text, and is a number"),
        ("kind = \"formula\"\n", "my.toml: neither dim nor particles is given; write dim = 4"),
        ("kind = \"formula\"\ndim = 0\n", "my.toml:2:7: dim = 0 must lie between 1 and 4096"),
        ("kind = \"formula\"\ndim = 2\nspace = 3\n", "my.toml:3:9: space belongs to particles"),
        (
            "kind = \"formula\"\ndim = 2\nparticles = 3\n",
            "my.toml:2:7: dim and particles are given; keep one",
        ),
        ("kind = \"formula\"\nparticles = 1\n", "my.toml:2:13: particles = 1 must lie between 2 and"),
        ("kind = \"formula\"\ndim = 1\n", "my.toml: the key energy is missing; give it, as energy = "),
    ] {
        assert!(said(text).starts_with(want), "{text}: {}", said(text));
    }
    for (line, want) in [
        ("temperature = 0\n", "my.toml:4:15: temperature = 0 must be a positive number"),
        ("temperature = nan\n", "my.toml:4:15: temperature must be a finite number"),
        ("  temprature = 2\n", "my.toml:4:3: unknown key `temprature`, did you mean temperature?"),
        (
            "zzzzzzzzzz = 2\n",
            "my.toml:4:1: unknown key `zzzzzzzzzz`; known keys here: kind, dim, particles, ",
        ),
        ("check_gradient = 1\n", "my.toml:4:18: check_gradient wants true or false, and is a number"),
        ("nan = \"never\"\n", "my.toml:4:7: nan = \"never\" is not known (error, outside)"),
        ("length = 2.0\n", "my.toml: length is for energies of other programs"),
        (
            "[constants]\nb = [[1.0, 2.0], [3.0]]\n",
            "my.toml:5:18: constants.b[1] has 1 numbers, and row 0 has 2",
        ),
        ("[constants]\nx = 1.0\n", "my.toml:5:5: constants.x has a meaning already; choose another name"),
        ("[constants]\nb = \"1\"\n", "my.toml:5:5: constants.b wants a number, and is a text"),
        ("[let]\nr = \"x[0]^2 + q\"\n", "my.toml:5:15: let.r: unknown name `q`"),
        ("[support]\nlow = [0.0, 1.0]\n", "my.toml:5:7: support.low has 2 numbers; give one, or 1"),
        ("[support]\nlow = 1.0\nhigh = 0.5\n", "my.toml:6:8: support.high leaves nothing of coordinate 0"),
        ("[support]\nlo = 1.0\n", "my.toml:5:1: unknown key `support.lo`, did you mean low?"),
        ("scales = [1.0]\n", "my.toml:4:10: scales wants two numbers"),
        ("scales = [1.0, \"a\"]\n", "my.toml:4:16: scales[1] wants a number, and is a text"),
        ("dim = 2\n", "my.toml:4:1: duplicate key"),
    ] {
        let text = format!("{base}{line}");
        assert!(said(&text).starts_with(want), "{line}: {}", said(&text));
    }
}

#[test]
fn wrong_keys_of_other_ways_are_named_with_line_and_column() {
    for (text, want) in [
        (
            "kind = \"library\"\ndim = 1\n",
            "my.toml: the key path is missing; give it, as path = \"libmine.so\"",
        ),
        (
            "kind = \"library\"\ndim = 1\npath = \"a.so\"\nthreads = 4\n",
            "my.toml:4:11: threads wants a text, and is a number",
        ),
        (
            "kind = \"library\"\ndim = 1\npath = \"a.so\"\nthread = \"one\"\n",
            "my.toml:4:1: unknown key `thread`, did you",
        ),
        (
            "kind = \"library\"\ndim = 1\npath = \"a.so\"\n",
            "my.toml:3:8: path = a.so: no such file; compile the library",
        ),
        (
            "kind = \"program\"\ndim = 1\n",
            "my.toml: the key command is missing; give it, as command = [\"python3\"",
        ),
        (
            "kind = \"program\"\ndim = 1\ncommand = []\n",
            "my.toml:3:11: command names no program; write [\"python3\"",
        ),
        (
            "kind = \"program\"\ndim = 1\ncommand = \"a\"\nworkers = 0\n",
            "my.toml:4:11: workers = 0 must lie between 1 and 1000",
        ),
        (
            "kind = \"program\"\ndim = 1\ncommand = \"a\"\ntimeout = 1e9\n",
            "my.toml:4:11: timeout = 1000000000 must lie between 0.001 and 3.2e7 seconds",
        ),
        (
            "kind = \"program\"\ndim = 1\ncommand = [\"/no/program\", \"x\"]\n",
            "my.toml:3:11: command = /no/program x: no program `/no/program` is there; correct command",
        ),
        ("kind = \"ipi\"\nparticles = 2\n", "my.toml: neither address nor unix is given; write address = "),
        (
            "kind = \"ipi\"\nparticles = 2\nunix = \"a\"\naddress = \"b\"\n",
            "my.toml:3:8: unix and address are given; keep one",
        ),
        (
            "kind = \"ipi\"\ndim = 4\nunix = \"a\"\n",
            "my.toml: atoms have three coordinates; give particles = N with space = 3, or dim = 3 N",
        ),
        (
            "kind = \"ipi\"\nparticles = 2\naddress = \"nowhere\"\n",
            "my.toml:3:11: address = nowhere: cannot listen there (",
        ),
    ] {
        assert!(said(text).starts_with(want), "{text}: {}", said(text));
    }
}

#[test]
fn a_formula_is_marked_where_it_is_wrong_and_must_have_all_coordinates() {
    let of = |dim: usize, energy: &str, more: &str| {
        said(&format!("kind = \"formula\"\ndim = {dim}\nenergy = {energy}\n{more}"))
    };
    let want = "my.toml:3:20: energy: unknown name `y`, did you mean x? here: x[0]^2 + >>y[1]<<^2";
    assert_eq!(of(2, "\"x[0]^2 + y[1]^2\"", ""), want);
    let want = "my.toml:5:2: energy: unknown name `y`, did you mean x? here: >>y[1]<<^2";
    assert_eq!(of(2, "\"\"\"\n  x[0]^2 +\n y[1]^2\"\"\"", ""), want);
    // A text with escapes is not in the file as it is.
    assert!(of(2, "\"x[0]^2 +\\ty[1]^2\"", "").starts_with("my.toml:3:10: energy: unknown name `y`"));
    let want = "my.toml:3:10: energy does not depend on x[1]: a density that is flat in it has no integral";
    assert!(of(2, "\"x[0]^2\"", "").starts_with(want), "{}", of(2, "\"x[0]^2\"", ""));
    assert!(of(2, "\"x[0]^2\"", "[support]\nlow = 0.0\n").starts_with(want));
    assert_eq!(of(2, "\"0\"", "[support]\nlow = 0.0\nhigh = [1.0, 2.0]\n"), "");
}

#[test]
fn examples_are_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/examples/targets");
    let example = |name: &str| build(folder.join(name).to_str().unwrap()).unwrap();
    let at_rest = at(&*example("lj13.toml"), &[0.0; 39]).0;
    assert_eq!(at_rest, f64::NEG_INFINITY);
    let x: Vec<f64> = (0..39).map(|i| ((7 * i) as f64 * 0.37).sin() * 1.5).collect();
    let mean: Vec<f64> = (0..3).map(|k| x.iter().skip(k).step_by(3).sum::<f64>() / 13.0).collect();
    let x: Vec<f64> = x.iter().zip(mean.iter().cycle()).map(|(x, m)| x - m).collect();
    let (mine, theirs) = (at(&*example("lj13.toml"), &x), at(&crate::target::LennardJones::lj13(), &x));
    let size = theirs.1.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
    assert!((mine.0 - theirs.0).abs() < 1e-12 * theirs.0.abs(), "{} {}", mine.0, theirs.0);
    assert!(mine.1.iter().zip(&theirs.1).all(|(a, b)| (a - b).abs() < 1e-12 * size));
    // 10 (0.25 - 1)^2 + 2 * 0.5 + 10 (0.3 - 0.25)^2 = 6.65.
    let wells = at(&*example("two-wells.toml"), &[0.5, 0.3]);
    assert!((wells.0 + 6.65 / 2.494).abs() < 1e-13, "{wells:?}");
    // log of the joint density, term by term.
    let (y, t) = ([5.0, 1.0, 5.0, 14.0, 3.0, 19.0], [94.3, 15.7, 62.9, 126.0, 5.24, 31.4]);
    let state = [-1.5, 0.2, -2.5, -2.0, -2.4, -2.1, -0.6, -0.4];
    let normal = |x: f64, mean: f64, sd: f64| {
        -0.5 * ((x - mean) / sd).powi(2) - (sd * std::f64::consts::TAU.sqrt()).ln()
    };
    let (mu, tau) = (state[0], f64::exp(state[1]));
    let mut want = normal(mu, 0.0, 2.0) - tau + state[1];
    for n in 0..6 {
        let rate: f64 = t[n] * f64::exp(state[2 + n]);
        let factorial: f64 = (1..=y[n] as u64).map(|k| (k as f64).ln()).sum();
        want += y[n] * rate.ln() - rate - factorial + normal(state[2 + n], mu, tau);
    }
    let got = at(&*example("posterior.toml"), &state).0;
    assert!((got - want).abs() < 1e-12 * want.abs(), "{got} {want}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let error = |name: &Path| build(name.to_str().unwrap()).err().map_or(String::new(), |e| e.to_string());
    assert!(error(&path).contains("t.toml: no such file"), "{}", error(&path));
    assert!(error(folder.path()).contains("is no regular file"), "{}", error(folder.path()));
    std::fs::write(&path, b"\xff").unwrap();
    assert!(error(&path).contains("is no UTF-8 text"), "{}", error(&path));
}

#[test]
fn a_file_is_built_once_and_again_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let text = "kind = \"formula\"\ndim = 2\nenergy = \"x[0]^2 + x[1]^2\"\n";
    std::fs::write(&path, text).unwrap();
    let mut config = TargetConfig::of("own").unwrap();
    config.parameters.insert("file".into(), Parameter::Text(path.display().to_string()));
    let (first, second) = (config.build().unwrap(), config.build().unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(config.scales().unwrap(), None);
    std::fs::write(&path, format!("{text}scales = [2.0, 1.0]\n")).unwrap();
    assert!(!Arc::ptr_eq(&first, &config.build().unwrap()));
    assert_eq!(config.scales().unwrap(), Some([2.0, 1.0]));
    let description = MadeOf { what: "description".into(), path: path.clone(), fixed: true };
    assert_eq!(files(&path).unwrap(), std::slice::from_ref(&description));
    // Of others the file that is there, which may change.
    let program = folder.path().join("e.py");
    for (text, found) in [
        ("kind = \"program\"\ndim = 2\ncommand = [\"python3\", \"-u\", \"e.py\"]\n", Some("program")),
        ("kind = \"library\"\ndim = 2\npath = \"e.py\"\n", Some("library")),
        ("kind = \"library\"\ndim = 2\npath = \"none.so\"\n", None),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::write(&program, "").unwrap();
        let found = found.map(|what| MadeOf { what: what.into(), path: program.clone(), fixed: false });
        assert_eq!(
            files(&path).unwrap(),
            [Some(description.clone()), found].into_iter().flatten().collect::<Vec<_>>()
        );
    }
}

/// E = x^2, and no number below -1.
fn half_line() -> Arc<dyn AnyTarget> {
    Arc::new(Double(Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
        g[0] = 2.0 * x[0];
        if x[0] < -1.0 { f64::NAN } else { x[0] * x[0] }
    })))
}

#[test]
fn units_and_the_meaning_of_nan_are_those_of_the_description() {
    let of = |lines: &str| {
        let text = format!("dim = 1\n{lines}");
        let mut keys = Source { file: Path::new("my.toml"), text: &text }.keys().unwrap();
        scaled::Scaled::new(half_line(), &Description::take(&mut keys).unwrap())
    };
    // E(3 x) / 2 at x = 1: 4.5, with the gradient 9 x.
    let target = of("temperature = 2\nlength = 3\nnan = \"outside\"\nlog_z = -1.5\n");
    assert_eq!(at(&target, &[1.0]), (-4.5, vec![-9.0]));
    assert_eq!(at(&target, &[-1.0]), (f64::NEG_INFINITY, vec![0.0]));
    assert_eq!(Target::<f64>::log_z(&target), Some(-1.5));
    let (mut log_p, mut score) = ([0.0_f32], [0.0]);
    target.evaluate_block(1, &[1.0], &mut log_p, &mut score, &mut Vec::new()).unwrap();
    assert_eq!((log_p, score), ([-4.5], [-9.0]));
    let strict = of("");
    assert_eq!(at(&strict, &[1.0]), (-1.0, vec![-2.0]));
    let said = Target::<f64>::evaluate(&strict, &[-2.0], &mut [0.0], &mut [0.0]).unwrap_err().to_string();
    assert!(said.contains("the energy is NaN at point 0 of 1, x = (-2.0)"), "{said}");
}

#[test]
fn forces_on_particles_lose_their_mean() {
    let mut keys = Source { file: Path::new("my.toml"), text: "particles = 2\nspace = 1\n" }.keys().unwrap();
    let description = Description::take(&mut keys).unwrap();
    let pull: Arc<dyn AnyTarget> =
        Arc::new(Double(Pointwise::on(description.geometry, |x: &[f64], g: &mut [f64]| {
            g.copy_from_slice(&[3.0, 1.0]);
            3.0 * x[0] + x[1]
        })));
    let target = scaled::Scaled::new(pull, &description);
    assert_eq!(at(&target, &[0.5, -0.5]), (-1.0, vec![-1.0, 1.0]));
}
