//! Energies by a formula beside the same written in Rust, in turns: nanoseconds for a point with its gradient, on one
//! thread, in double precision. `cargo bench --bench formulas`

use std::hint::black_box;
use std::time::Instant;

use engine::rng::Stream;
use models::target::own::Names;
use models::target::{BLOCK, Geometry, LennardJones, ManyWell, Mixture, Phi4, Target, TargetError};

/// Blocks of points in a round, and rounds.
const BLOCKS: usize = 40;
const ROUNDS: usize = 200;

const LJ13: &str = "sum(i, 0:13, j, i+1:13, 2*(dist(i, j)^-12 - 2*dist(i, j)^-6))
    + 0.5*sum(i, k, 0:3, (x[i, k] - sum(j, x[j, k])/particles)^2)";
const MIXTURE: &str =
    "log(40*2*pi*s^2) - logsumexp(j, 0:40, -((x[0] - m[j, 0])^2 + (x[1] - m[j, 1])^2)/(2*s^2))";
const PHI4: &str = "sum(i, 0:8, j, 0:8, (1 - 2*lambda)*x[8*i + j]^2 + lambda*x[8*i + j]^4
    - 2*kappa*x[8*i + j]*(x[8*i + (j + 1) % 8] + x[8*((i + 1) % 8) + j]))";
const MANY_WELL: &str = "sum(i, 0:16, x[2*i]^4 - 6*x[2*i]^2 - 0.5*x[2*i] + 0.5*x[2*i + 1]^2)";

fn mixture() -> Names {
    let mut names = Names::new(Geometry::Euclidean(2));
    let target = Mixture::gmm40();
    let modes = Target::<f64>::modes(&target).expect("a mixture has modes");
    names.constant("m", &[40, 2], modes.means.to_vec()).expect("two numbers for each mode");
    names.constant("s", &[], vec![models::target::GMM_SCALE]).expect("a number");
    names
}

fn phi4() -> Names {
    let mut names = Names::new(Geometry::Euclidean(64));
    names.constant("kappa", &[], vec![0.3]).expect("a number");
    names.constant("lambda", &[], vec![0.022]).expect("a number");
    names
}

/// Nanoseconds for a point.
fn time(target: &dyn Target<f64>, x: &[f64]) -> f64 {
    let d = target.dim();
    let (mut log_p, mut score, mut scratch) = (vec![0.0; BLOCK], vec![0.0; d * BLOCK], Vec::new());
    let start = Instant::now();
    for _ in 0..BLOCKS {
        let done: Result<(), TargetError> =
            target.evaluate_block(BLOCK, black_box(x), &mut log_p, &mut score, &mut scratch);
        done.expect("energies are finite");
        black_box((&log_p, &score));
    }
    start.elapsed().as_secs_f64() * 1e9 / (BLOCKS * BLOCK) as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let cluster = Geometry::from(models::target::ParticleSystem { particles: 13, space: 3 });
    let cases: [(&str, Box<dyn Target<f64>>, Names, &str, f64); 4] = [
        (
            "many-well, 32 dimensions",
            Box::new(ManyWell::new(16).expect("16 pairs")),
            Names::new(Geometry::Euclidean(32)),
            MANY_WELL,
            1.4,
        ),
        ("40 modes in the plane", Box::new(Mixture::gmm40()), mixture(), MIXTURE, 20.0),
        ("LJ-13", Box::new(LennardJones::lj13()), Names::new(cluster), LJ13, 1.0),
        ("phi^4, 64 sites", Box::new(Phi4::new(8, 0.3, 0.022).expect("in range")), phi4(), PHI4, 2.0),
    ];
    println!("{:26} {:>10} {:>10} {:>7} {:>11}", "", "Rust, ns", "formula", "ratio", "operations");
    for (name, rust, names, text, scale) in cases {
        let formula = names.formula(text).expect("a formula");
        let mut x = vec![0.0; rust.dim() * BLOCK];
        Stream::new(0, "bench", 0, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x *= scale);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(time(&*rust, &x));
            ours.push(time(&formula, &x));
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!("{name:26} {theirs:10.1} {ours:10.1} {:7.2} {:11}", ours / theirs, formula.operations());
    }
}
