//! Values and derivatives against plain ones and the targets written in Rust, and what is refused with which words.

use engine::rng::Stream;

use super::*;
use crate::target::{GMM_SCALE, LennardJones, ManyWell, Mixture, ParticleSystem, Phi4};

fn formula(dim: usize, text: &str) -> Formula {
    Names::new(Geometry::Euclidean(dim)).formula(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// E and grad E at one point.
fn at(target: &dyn Target<f64>, x: &[f64]) -> (f64, Vec<f64>) {
    let (mut log_p, mut score) = ([0.0], vec![0.0; x.len()]);
    target.log_density_batch(x, &mut log_p, &mut score).unwrap();
    (-log_p[0], score.iter().map(|s| -s).collect())
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + b.abs())
}

/// A formula in x[0], and the same in Rust.
type Case = (&'static str, fn(f64) -> f64);

#[test]
fn every_function_has_its_value_and_its_derivative() {
    // Of x above 0, and of any x.
    let positive: [Case; 10] = [
        ("log(x[0])", f64::ln),
        ("sqrt(x[0])", f64::sqrt),
        ("log1p(x[0])", f64::ln_1p),
        ("x[0]^2.5", |x| x.powf(2.5)),
        ("x[0]^-0.3", |x| x.powf(-0.3)),
        ("x[0]^x[0]", |x| x.powf(x)),
        ("1/(x[0] + 2/x[0])", |x| 1.0 / (x + 2.0 / x)),
        ("x[0]^-6 - 2*x[0]^-3 + x[0]^-1", |x| x.powi(-6) - 2.0 * x.powi(-3) + 1.0 / x),
        ("x[0]^-20", |x| x.powi(-20)),
        ("(2/x[0])^4*x[0]^3 + (3*x[0])^2", |x| 16.0 / x + 9.0 * x * x),
    ];
    let any: [Case; 26] = [
        ("exp(x[0])", f64::exp),
        ("sin(x[0])", f64::sin),
        ("cos(x[0])", f64::cos),
        ("tan(0.3*x[0])", |x| (0.3 * x).tan()),
        ("sinh(x[0])", f64::sinh),
        ("cosh(x[0])", f64::cosh),
        ("tanh(x[0])", f64::tanh),
        ("sigmoid(x[0])", |x| 1.0 / (1.0 + (-x).exp())),
        ("softplus(x[0])", |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        ("abs(x[0])", f64::abs),
        ("log1p(x[0]^2)", |x| (x * x).ln_1p()),
        ("x[0]", |x| x),
        ("3.5 - 2*x[0]", |x| 3.5 - 2.0 * x),
        ("-x[0]^2", |x| -x * x),
        ("(2*x[0] - 1)^3 + 5*(2*x[0] - 1)", |x| (2.0 * x - 1.0).powi(3) + 5.0 * (2.0 * x - 1.0)),
        ("x[0]^16 - x[0]^15", |x| x.powi(16) - x.powi(15)),
        ("x[0]^17/1e3", |x| x.powi(17) / 1e3),
        ("2^x[0]", f64::exp2),
        ("x[0]*sin(x[0])*cos(x[0])", |x| x * x.sin() * x.cos()),
        ("sin(x[0])/cosh(x[0])", |x| x.sin() / x.cosh()),
        ("max(x[0], 0.5, -x[0])", |x| x.abs().max(0.5)),
        ("min(x[0], sin(x[0]))", |x| x.min(x.sin())),
        ("if(x[0] < 0.3, x[0]^2, 1 - x[0])", |x| if x < 0.3 { x * x } else { 1.0 - x }),
        ("if(x[0] >= 0, sqrt(x[0]), log(-x[0]))", |x| if x >= 0.0 { x.sqrt() } else { (-x).ln() }),
        ("logsumexp(i, 0:3, i*x[0] - i^2)", |x| (1.0 + (x - 1.0).exp() + (2.0 * x - 4.0).exp()).ln()),
        ("prod(i, 0:5, x[0] - i + 2)", |x| (-2..3).map(|i| x - f64::from(i)).product()),
    ];
    let mut stream = Stream::new(3, "functions", 0, 0);
    for (text, f) in
        positive.into_iter().map(|c| (c, true)).chain(any.map(|c| (c, false))).map(|(c, positive)| {
            let (text, f) = c;
            (text, (f, positive))
        })
    {
        let (f, positive) = f;
        let target = formula(1, text);
        for _ in 0..200 {
            let x = if positive { 0.4 + 3.0 * stream.uniform() } else { 6.0 * stream.uniform() - 3.0 };
            let (value, slope) = at(&target, &[x]);
            assert!(near(value, f(x), 4e-14), "{text} at {x}: {value}, and not {}", f(x));
            let h = 1e-5;
            let difference = (f(x + h) - f(x - h)) / (2.0 * h);
            // A kink between both points.
            if (f(x + h) - 2.0 * f(x) + f(x - h)).abs() > 1e-7 * (1.0 + f(x).abs()) {
                continue;
            }
            // The third derivative of x^16 near 3 is 3e3 / 4 times as large as it.
            let size = 1.0 + slope[0].abs() + f(x).abs();
            assert!((slope[0] - difference).abs() < 1e-6 * size, "{text} at {x}: {slope:?} {difference}");
        }
    }
}

#[test]
fn sums_and_indices_run_over_what_they_say() {
    let value = |dim: usize, text: &str, x: &[f64]| at(&formula(dim, text), x).0;
    let x = [1.0, 2.0, 4.0, 8.0];
    assert_eq!(value(4, "sum(i, x[i])", &x), 15.0);
    assert_eq!(value(4, "sum(i, 1:3, x[i])", &x), 6.0);
    assert_eq!(value(4, "sum(i, 2:2, x[i]) + x[0]", &x), 1.0);
    assert_eq!(value(4, "sum(i, 0:4, j, i+1:4, x[i]*x[j])", &x), 70.0);
    assert_eq!(value(4, "sum(i, j, x[i]*x[j])", &x), 225.0);
    assert_eq!(value(4, "sum(i, 0:4, x[(i - 1) % 4]*i)", &x), 0.0 * 8.0 + 1.0 + 4.0 + 12.0);
    assert_eq!(value(4, "prod(i, x[i])/dim", &x), 16.0);
    assert_eq!(value(4, "sum(i, if(i == 2, 0, x[i]/(i - 2)))", &x), -0.5 - 2.0 + 8.0);
    assert_eq!(
        value(1, "2^3^2 - -2^2 + 10 - 4 - 3 + 24/4/3 + 2^-1 + .5e1 + 1.e0", &[0.0]),
        512.0 + 4.0 + 3.0 + 2.0 + 6.5
    );
    let mut names = Names::new(Geometry::Euclidean(2));
    names.constant("m", &[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    names.constant("w", &[2], vec![10.0, 20.0]).unwrap();
    names.constant("k", &[], vec![0.5]).unwrap();
    names.part("r", "x[0]^2 + x[1]^2").unwrap();
    names.part("s", "sqrt(r + k)").unwrap();
    let target = names.formula("sum(n, 0:len(m), m[n, 2]*w[n])*x[0] + r*s").unwrap();
    let (value, slope) = at(&target, &[1.0, 2.0]);
    assert!(near(value, 150.0 + 5.0 * 5.5f64.sqrt(), 1e-15));
    // d(r s)/dx = 2 x (s + r / 2 s).
    let factor = 2.0 * (5.5f64.sqrt() + 2.5 / 5.5f64.sqrt());
    assert!(near(slope[0], 150.0 + factor, 1e-14) && near(slope[1], 2.0 * factor, 1e-14), "{slope:?}");
}

/// Both targets have the same energies and gradients, up to 1e-12 of the largest component.
fn same(mine: &Formula, theirs: &dyn Target<f64>, scale: f64) {
    let (mut x, mut stream) = (vec![0.0; theirs.dim()], Stream::new(5, "same", 0, 0));
    for _ in 0..50 {
        theirs.geometry().fill_normal(&mut stream, &mut x);
        x.iter_mut().for_each(|x| *x *= scale);
        let ((e, g), (want_e, want_g)) = (at(mine, &x), at(theirs, &x));
        assert!(near(e, want_e, 1e-12), "{e} {want_e}");
        let size = want_g.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
        let far = g.iter().zip(&want_g).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far <= 1e-12 * size, "{far} of {size}");
    }
}

const CLUSTER: &str = "sum(i, 0:13, j, i+1:13, 2*(dist(i, j)^-12 - 2*dist(i, j)^-6))
    + 0.5*sum(i, k, 0:3, (x[i, k] - sum(j, x[j, k])/particles)^2)";

/// As it is usually written.
const USUAL: &str = "sum(i, 0:13, j, i+1:13, 2*((s/dist(i, j))^12 - 2*(s/dist(i, j))^6))
    + 0.5*sum(i, k, 0:3, (x[i, k] - sum(j, x[j, k])/particles)^2)";

fn cluster() -> Formula {
    Names::new(ParticleSystem { particles: 13, space: 3 }.into()).formula(CLUSTER).unwrap()
}

#[test]
fn targets_written_in_rust_are_the_same() {
    let wells = formula(32, "sum(i, 0:16, x[2*i]^4 - 6*x[2*i]^2 - 0.5*x[2*i] + 0.5*x[2*i + 1]^2)");
    for scale in [0.1, 1.0, 2.0] {
        same(&wells, &ManyWell::new(16).unwrap(), scale);
    }
    let (mut names, mixture) = (Names::new(Geometry::Euclidean(2)), Mixture::gmm40());
    names.constant("m", &[40, 2], Target::<f64>::modes(&mixture).unwrap().means.to_vec()).unwrap();
    names.constant("s", &[], vec![GMM_SCALE]).unwrap();
    for text in [
        "log(40*2*pi*s^2) - logsumexp(j, 0:40, -((x[0] - m[j, 0])^2 + (x[1] - m[j, 1])^2)/(2*s^2))",
        "-logsumexp(j, 0:len(m), -0.5*sum(k, ((x[k] - m[j, k])/s)^2) - log(len(m)*2*pi*s^2))",
    ] {
        same(&names.formula(text).unwrap(), &mixture, 20.0);
    }
    for scale in [0.5, 1.0, 2.0] {
        same(&cluster(), &LennardJones::lj13(), scale);
    }
    let mut names = Names::new(ParticleSystem { particles: 13, space: 3 }.into());
    names.constant("s", &[], vec![1.0]).unwrap();
    let usual = names.formula(USUAL).unwrap();
    same(&usual, &LennardJones::lj13(), 1.0);
    assert_eq!(usual.operations(), cluster().operations());
    let mut names = Names::new(Geometry::Euclidean(64));
    names.constant("kappa", &[], vec![0.3]).unwrap();
    names.constant("lambda", &[], vec![0.022]).unwrap();
    let lattice = "sum(i, 0:8, j, 0:8, (1 - 2*lambda)*x[8*i + j]^2 + lambda*x[8*i + j]^4
        - 2*kappa*x[8*i + j]*(x[8*i + (j + 1) % 8] + x[8*((i + 1) % 8) + j]))";
    same(&names.formula(lattice).unwrap(), &Phi4::new(8, 0.3, 0.022).unwrap(), 2.0);
}

#[test]
fn blocks_of_all_lengths_have_the_same_bits_as_single_points() {
    let target = cluster();
    let d = 39;
    for n in [0, 1, 7, 64, 65, 128] {
        let (mut x, mut log_p, mut score) = (vec![0.0; d * n], vec![0.0; n], vec![0.0; d * n]);
        Stream::new(1, "blocks", 0, 0).fill_normal(&mut x);
        target.log_density_block(n, &x, &mut log_p, &mut score, &mut vec![7.0; 11]).unwrap();
        for l in 0..n {
            let point: Vec<f64> = (0..d).map(|a| x[a * n + l]).collect();
            let (e, g) = at(&target, &point);
            assert_eq!(e, -log_p[l]);
            assert!((0..d).all(|a| g[a] == -score[a * n + l]));
        }
    }
}

#[test]
fn terms_of_a_sum_take_the_memory_of_one() {
    let pairs = |n: usize| {
        let names = Names::new(ParticleSystem { particles: n, space: 3 }.into());
        let formula =
            names.formula("sum(i, j, 0:i, dist(i, j)^-12 - dist(i, j)^-6 + exp(-dist(i, j)))").unwrap();
        formula.program.rows - 2 * formula.program.dim
    };
    assert_eq!(pairs(5), pairs(20));
    assert!(pairs(5) < 10, "{}", pairs(5));
}

#[test]
fn what_is_not_chosen_has_no_derivative() {
    for (text, want) in [
        ("if(x[0] > 0, log(x[0]), 0) + x[1]", [0.0, 1.0]),
        ("if(x[0] > 0, 1/(x[0] + 1), 0) + x[1]", [0.0, 1.0]),
        ("if(x[0] > 0, x[1]/(x[0] + 1), x[1])", [0.0, 1.0]),
        ("if(x[1] > 0, x[1], 5*x[0])", [0.0, 1.0]),
        ("if(x[0] > 0, x[0]*log(x[0]), 0) + x[1]", [0.0, 1.0]),
        ("if(x[0] > 0, x[1]*sqrt(x[0])*log(x[0]), x[1])", [0.0, 1.0]),
        ("x[1]", [0.0, 1.0]),
    ] {
        assert_eq!(at(&formula(2, text), &[-1.0, 2.0]).1, want, "{text}");
    }
    // At equal points a distance has no direction.
    let names = Names::new(ParticleSystem { particles: 2, space: 3 }.into());
    assert_eq!(at(&names.formula("(dist(0, 1) - 1)^2").unwrap(), &[0.5; 6]), (1.0, vec![0.0; 6]));
}

#[test]
fn a_support_has_walls_and_energies_far_out_overflow_to_no_density() {
    let target = formula(2, "x[0]^2 + x[1]").within(&[-1.0, f64::NEG_INFINITY], &[2.0, 3.0]);
    let inside = |x: &[f64]| at(&target, x).0.is_finite();
    assert!(inside(&[-1.0, -1e9]) && inside(&[2.0, 3.0]));
    assert!(
        !inside(&[-1.01, 0.0]) && !inside(&[2.01, 0.0]) && !inside(&[0.0, 3.1]) && !inside(&[f64::NAN, 0.0])
    );
    // exp(800) is infinite, and so are its powers.
    for power in [2, 3, 5, 7, 9, 13] {
        let steep = formula(1, &format!("exp(x[0])^{power}"));
        let mut log_p = [0.0];
        steep.evaluate(&[800.0], &mut log_p, &mut [0.0]).unwrap();
        assert_eq!(log_p, [f64::NEG_INFINITY], "{power}");
    }
    let lj = cluster();
    let (mut log_p, mut score) = ([0.0], [0.0; 39]);
    lj.evaluate(&[0.0; 39], &mut log_p, &mut score).unwrap();
    assert_eq!(log_p[0], f64::NEG_INFINITY);
}

#[test]
fn single_precision_is_double_precision_rounded() {
    let target = Double(cluster());
    let mut x = vec![0.0_f32; 39 * 5];
    Stream::new(2, "single", 0, 0).fill_normal(&mut x);
    let (mut log_p, mut score) = (vec![0.0_f32; 5], vec![0.0; 39 * 5]);
    Target::<f32>::evaluate(&target, &x, &mut log_p, &mut score).unwrap();
    for (l, x) in x.chunks(39).enumerate() {
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let (e, g) = at(&target, &x);
        assert_eq!(log_p[l], -e as f32);
        assert!(g.iter().zip(&score[39 * l..]).all(|(g, s)| *s == -*g as f32));
    }
    // A gradient that is finite in double precision stays so.
    let steep = Double(formula(1, "-x[0]^-2*1e-20"));
    let (mut log_p, mut score) = ([0.0_f32], [0.0_f32]);
    Target::<f32>::evaluate(&steep, &[1e-25], &mut log_p, &mut score).unwrap();
    assert_eq!((log_p[0].is_finite(), score[0]), (true, -f32::MAX));
}

#[test]
fn what_is_wrong_is_marked() {
    let mut names = Names::new(Geometry::Euclidean(4));
    names.constant("mu", &[3], vec![1.0; 3]).unwrap();
    names.constant("a", &[], vec![2.0]).unwrap();
    let particles = Names::new(ParticleSystem { particles: 3, space: 2 }.into());
    let table = include_str!("wrong.txt");
    let mut found = String::new();
    for text in table.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (names, formula) = match text.strip_prefix("(particles) ") {
            Some(formula) => (&particles, formula),
            None => (&names, text),
        };
        let said = names.formula(formula).err().map_or("is no error".into(), |e| e.to_string());
        found += &format!("$ {text}\n{said}\n");
    }
    if std::env::var("METASTABLE_WRONG_USE").is_ok_and(|v| v == "write") {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/src/target/own/formula/wrong.txt");
        return std::fs::write(place, found).unwrap();
    }
    assert_eq!(found, table);
}

#[test]
fn names_that_have_a_meaning_are_refused() {
    let mut names = Names::new(Geometry::Euclidean(1));
    names.constant("pi", &[], vec![3.0]).unwrap();
    assert_eq!(at(&names.formula("pi + 0*x[0]").unwrap(), &[1.0]).0, 3.0, "a name of one's own wins");
    for name in ["x", "sum", "exp", "if", "pi"] {
        assert!(
            names.constant(name, &[], vec![1.0]).unwrap_err().contains("has a meaning already"),
            "{name}"
        );
    }
    for name in ["", "2a", "a-b", "a b"] {
        assert!(names.constant(name, &[], vec![1.0]).unwrap_err().contains("is no name"), "{name}");
    }
    assert!(names.constant("m", &[2, 2], vec![1.0; 3]).unwrap_err().contains("has 3 values"));
    assert!(names.part("p", "p + 1").unwrap_err().to_string().contains("unknown name `p`"));
}

#[test]
fn no_text_makes_it_panic() {
    const WORDS: [&str; 36] = [
        "x",
        "[",
        "]",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "^",
        "%",
        ",",
        ":",
        "<",
        "==",
        "0",
        "1",
        "2",
        "16",
        "3.5",
        "1e",
        ".",
        "sum",
        "prod",
        "logsumexp",
        "if",
        "min",
        "dist",
        "i",
        "j",
        "x[0]",
        "sum(i, 0:2, ",
        "exp(",
        "a",
        " ",
        "\u{e9}",
    ];
    let mut stream = Stream::new(9, "words", 0, 0);
    let names =
        [Names::new(Geometry::Euclidean(3)), Names::new(ParticleSystem { particles: 3, space: 2 }.into())];
    let mut read = 0;
    for k in 0..40_000 {
        let text: String = (0..1 + stream.index(12)).map(|_| WORDS[stream.index(WORDS.len())]).collect();
        match names[k % 2].formula(&text) {
            Ok(formula) => {
                read += 1;
                at(&formula, &vec![0.5; formula.program.dim]);
            }
            Err(e) => assert!(!e.to_string().contains('\n')),
        }
    }
    assert!(read > 500, "{read}");
}
