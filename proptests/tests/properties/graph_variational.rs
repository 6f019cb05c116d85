//! The variational form of GRADE: its step against a dense one, what every step keeps and lowers whatever its length,
//! stability of consensus, gradients, the same bits for any threads.

use std::sync::Arc;

use engine::ode::RungeKutta;
use engine::ode::tableau::RK4;
use engine::rng::Stream;
use engine::{Matrix, Params, Tape};
use models::gnn::data::synthetic::{BlockModel, from_edges};
use models::gnn::equations::{Dynamics, Equation, Form, GradeSettings, Mixing, Start};
use models::gnn::layers::Builder;
use models::gnn::networks::Network;
use models::gnn::{Dataset, Dropout, Normalisation};
use proptest::prelude::*;

use crate::cases::cases;
use crate::graph_dynamics::{network, small};

const CHANNELS: usize = 3;

/// The equation on a graph, with its parameters.
struct Flow {
    params: Params<f64>,
    dynamics: Arc<dyn Dynamics<f64>>,
    /// A, row by row.
    mean: Vec<Vec<f64>>,
    degrees: Vec<f64>,
    /// r and beta of each channel.
    rate: f64,
    beta: Vec<f64>,
    /// 0 without a source.
    gamma: f64,
}

impl Flow {
    fn new(data: &Dataset, loops: bool, strengths: (f64, f64), seed: u64) -> Self {
        Self::with_source(data, loops, strengths, false, seed)
    }

    fn with_source(
        data: &Dataset,
        loops: bool,
        (diffusion, aggregation): (f64, f64),
        source: bool,
        seed: u64,
    ) -> Self {
        let form = Form::Variational;
        let settings = GradeSettings { form, diffusion, aggregation, source, ..GradeSettings::default() };
        let mut params = Params::new();
        let on = &mut Builder::new(data, &mut params, seed);
        let adjacency = on.adjacency(Normalisation::Row, loops);
        let n = data.nodes();
        let mut mean = vec![vec![0.0; n]; n];
        let ends = adjacency.sparse.pattern().rows().zip(adjacency.sparse.pattern().columns());
        ends.zip(&adjacency.weights).for_each(|((i, j), w)| mean[i as usize][*j as usize] = *w);
        // Sums of weights, by the edges themselves.
        let mut degrees = vec![if loops { 1.0 } else { 0.0 }; n];
        for (place, (i, _)) in data.edges.iter().enumerate() {
            degrees[*i as usize] += data.edge_weights.get(place).map_or(1.0, |w| f64::from(*w));
        }
        let degrees = degrees.into_iter().map(|d| if d > 0.0 { d } else { 1.0 }).collect();
        let mixing = Mixing::new(on, adjacency, CHANNELS, 0);
        let dynamics = settings.build(on, mixing, CHANNELS);
        let b = params.view(params.find("beta").unwrap()).data.to_vec();
        // s(alpha) = 1/2 at the beginning.
        let beta = b.iter().map(|b: &f64| 2.0 * aggregation / (1.0 + (-b).exp())).collect();
        let gamma = if source { 0.5 } else { 0.0 };
        Self { params, dynamics, mean, degrees, rate: 0.5 * diffusion, beta, gamma }
    }

    /// The states after steps of these lengths.
    fn steps(&self, x: &Matrix<f64>, lengths: impl IntoIterator<Item = f64>) -> Vec<Matrix<f64>> {
        let (mut tape, x0, mut x) = (Tape::new(), x, x.clone());
        let step = |h| {
            let mut g = tape.record(self.params.values());
            let state = g.constant(x.rows(), x.cols(), x.data());
            let first = g.constant(x.rows(), x.cols(), x0.data());
            let start = Start { weights: self.dynamics.weights(&mut g, first), x0: first };
            let next = self.dynamics.implicit_step(&mut g, state, h, start).unwrap();
            assert!(g.failure().is_none(), "{:?}", g.failure());
            x.data_mut().copy_from_slice(g.value(next).data);
            x.clone()
        };
        lengths.into_iter().map(step).collect()
    }

    /// sum_j A_ij x_j in one channel.
    fn around(&self, x: &[f64], i: usize) -> f64 {
        self.mean[i].iter().zip(x).map(|(a, x)| a * x).sum()
    }

    /// phi in one channel.
    fn potential(&self, x: &[f64], a: usize) -> Vec<f64> {
        let slope: Vec<f64> = (0..x.len()).map(|i| self.around(x, i)).map(|s| s / (1.0 + s)).collect();
        (0..x.len()).map(|i| self.beta[a] * self.around(&slope, i)).collect()
    }

    fn mass(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.degrees).map(|(x, d)| x * d).sum()
    }

    /// F of one channel, with its state at the beginning, and the size of its terms.
    fn energy(&self, x: &[f64], first: &[f64], a: usize) -> (f64, f64) {
        let entropy = |i: usize| x[i] * x[i].ln() - x[i] - self.gamma * x[i] * first[i].ln();
        let gain = |s: f64| self.beta[a] * (s - s.ln_1p());
        let part = |i: usize| self.degrees[i] * (entropy(i) - gain(self.around(x, i)));
        let size = |i: usize| self.degrees[i] * (entropy(i).abs() + gain(self.around(x, i)));
        ((0..x.len()).map(part).sum(), (0..x.len()).map(size).sum())
    }
}

fn channel(x: &Matrix<f64>, a: usize) -> Vec<f64> {
    (0..x.cols()).map(|i| x[(a, i)]).collect()
}

/// Densities e^(scale times a normal number).
fn densities(nodes: usize, scale: f64, seed: u64) -> Matrix<f64> {
    let mut x = Matrix::<f64>::zeros(CHANNELS, nodes);
    Stream::new(seed, "densities", 0, 0).fill_normal(x.data_mut());
    x.data_mut().iter_mut().for_each(|v| *v = (scale * *v).clamp(-10.0, 10.0).exp());
    x
}

fn block_model(nodes: usize, seed: u64) -> Dataset {
    let model = BlockModel { nodes, classes: 2, degree: 3.0, homophily: 0.7, features: 2, signal: 1.0 };
    let mut data = model.draw(seed);
    // Every other graph has weights, the same in both directions of an edge.
    if seed % 2 == 1 {
        let weight = |(i, j): &(u32, u32)| 0.25 + ((i + j) % 7) as f32 * (1 + i * j % 3) as f32;
        data.edge_weights = data.edges.iter().map(weight).collect();
    }
    data
}

/// Lengths that grow by a factor, and end at a time.
fn growing(time: f64, growth: f64) -> Vec<f64> {
    let (mut lengths, mut t, mut h) = (Vec::new(), 0.0, 0.5);
    while t < time {
        lengths.push(h);
        (t, h) = (t + h, h * growth);
    }
    lengths
}

/// The solution of m z = b by elimination without a search for pivots: m has a dominant diagonal.
fn solved(mut m: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        for i in k + 1..n {
            let factor = m[i][k] / m[k][k];
            let above = m[k].clone();
            m[i].iter_mut().zip(&above).for_each(|(m, a)| *m -= factor * a);
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|j| m[k][j] * b[j]).sum();
        b[k] = (b[k] - rest) / m[k][k];
    }
    b
}

proptest! {
    #![proptest_config(cases(48))]

    /// Of any length, from any densities, on any graph: nodes without edges, several components, loops or none.
    #[test]
    fn every_step_keeps_mass_and_sign_and_lowers_the_energy(
        nodes in 2_usize..40, loops in any::<bool>(), source in any::<bool>(), r1 in 0.0_f64..2.0,
        r2 in 0.0_f64..10.0, spread in 0.01_f64..3.0, length in -3.0_f64..4.0, growth in 1.0_f64..2.0,
        seed in 0_u64..1 << 40,
    ) {
        let flow = Flow::with_source(&block_model(nodes, seed), loops, (r1, r2), source, seed);
        let x0 = densities(nodes, spread, seed);
        let lengths = (0..30).scan(10_f64.powf(length), |h, _| { *h = (*h * growth).min(1e4); Some(*h) });
        let states = flow.steps(&x0, lengths);
        for a in 0..CHANNELS {
            let first = channel(&x0, a);
            let mass = flow.mass(&first);
            let mut last = flow.energy(&first, &first, a).0;
            for x in &states {
                let x = channel(x, a);
                prop_assert!(x.iter().all(|x| *x > 0.0 && x.is_finite()), "{x:?}");
                // Up to the residual of the linear system, whose entries span four orders of magnitude.
                prop_assert!((flow.mass(&x) - mass).abs() < 1e-7 * mass);
                let most = x.iter().zip(&flow.degrees).map(|(x, d)| x * d).fold(0.0, f64::max);
                prop_assert!(most < mass * (1.0 + 1e-7));
                let (energy, size) = flow.energy(&x, &first, a);
                prop_assert!(energy <= last + 1e-7 * size, "{energy} after {last}");
                last = energy;
            }
        }
    }

    /// One step as its formula has it, by elimination.
    #[test]
    fn a_step_is_that_of_the_dense_system(
        nodes in 2_usize..12, loops in any::<bool>(), r2 in 0.0_f64..12.0, h in 0.01_f64..100.0, seed in 0_u64..1 << 40,
    ) {
        let flow = Flow::new(&block_model(nodes, seed), loops, (0.8, r2), seed);
        let x = densities(nodes, 1.0, seed);
        let got = &flow.steps(&x, [h])[0];
        let c = h * flow.rate;
        for a in 0..CHANNELS {
            let x = channel(&x, a);
            let u: Vec<f64> = flow.potential(&x, a).iter().map(|phi| (0.5 * phi).exp()).collect();
            let row = |i: usize| {
                let mut row: Vec<f64> = flow.mean[i].iter().map(|w| -c * w).collect();
                row[i] += 1.0 + c * flow.around(&u, i) / u[i];
                row
            };
            let z = solved((0..nodes).map(row).collect(), x.iter().zip(&u).map(|(x, u)| x / u).collect());
            for i in 0..nodes {
                let (got, want) = (got[(a, i)], u[i] * z[i]);
                prop_assert!((got - want).abs() < 1e-7 * want, "node {i}: {got}, not {want}");
            }
        }
    }
}

#[test]
fn short_steps_tend_to_the_flow() {
    let data = small();
    let flow = Flow::new(&data, true, (1.0, 6.0), 2);
    let x0 = densities(data.nodes(), 1.0, 3);
    let mut tape = Tape::new();
    let mut g = tape.record(flow.params.values());
    let x = g.constant(CHANNELS, data.nodes(), x0.data());
    let start = Start { weights: flow.dynamics.weights(&mut g, x), x0: x };
    let exact = RungeKutta::new(&RK4)
        .unwrap()
        .integrate(&mut g, x, (0.0, 1.0), 200, |g, x, t| flow.dynamics.velocity(g, x, t, start));
    let exact = g.value(exact).data.to_vec();
    let error = |steps: usize| {
        let last = flow.steps(&x0, vec![1.0 / steps as f64; steps]).pop().unwrap();
        last.data().iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let slope = (error(64) / error(128)).log2();
    assert!((slope - 1.0).abs() < 0.1, "{slope}");
}

/// A ring, and a wave on it with its eigenvalue of I - A.
fn ring(n: u32, m: f64) -> (Dataset, Vec<f64>, f64) {
    let edges: Vec<(u32, u32)> = (0..n).map(|i| (i, (i + 1) % n)).collect();
    let data = from_edges("ring", n as usize, &edges, vec![0; n as usize], 1);
    let angle = 2.0 * std::f64::consts::PI * m / f64::from(n);
    (data, (0..n).map(|i| (angle * f64::from(i)).cos()).collect(), 1.0 - angle.cos())
}

#[test]
fn consensus_grows_or_decays_at_the_rate_of_linear_theory() {
    for (m, c, r2) in [(1.0, 1.0, 8.0), (2.0, 0.7, 6.0), (5.0, 1.3, 8.0), (2.0, 30.0, 8.0), (3.0, 1.0, 0.0)] {
        let (data, wave, lambda) = ring(12, m);
        let flow = Flow::new(&data, false, (0.8, r2), 2);
        let delta = 1e-6 * c;
        let x = Matrix::from_fn(CHANNELS, 12, |_, i| c + delta * wave[i]);
        let mut tape = Tape::new();
        let mut g = tape.record(flow.params.values());
        let state = g.constant(CHANNELS, 12, x.data());
        let start = Start { weights: flow.dynamics.weights(&mut g, state), x0: state };
        let v = flow.dynamics.velocity(&mut g, state, 0.3, start);
        for a in 0..CHANNELS {
            let gain = flow.beta[a] * c / (1.0 + c).powi(2) * (1.0 - lambda).powi(2);
            let rate = -flow.rate * lambda * (1.0 - gain);
            for i in 0..12 {
                let got = g.value(v).col(i)[a] / delta;
                assert!((got - rate * wave[i]).abs() < 1e-5, "{m} {c} {r2}: {got} {}", rate * wave[i]);
            }
        }
    }
}

#[test]
fn above_the_threshold_nothing_collapses_however_long() {
    let (data, wave, _) = ring(40, 2.0);
    let x0 = Matrix::from_fn(CHANNELS, 40, |_, i| 1.0 + 0.05 * wave[i]);
    // The spread of log x at T = 30, 1e3, 1e4 and 1e6.
    let spreads = |r2: f64| -> Vec<[f64; CHANNELS]> {
        let flow = Flow::new(&data, true, (1.0, r2), 2);
        let spread = |x: &Matrix<f64>| -> [f64; CHANNELS] {
            std::array::from_fn(|a| {
                let log: Vec<f64> = channel(x, a).iter().map(|x| x.ln()).collect();
                let mean = log.iter().sum::<f64>() / 40.0;
                (log.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 40.0).sqrt()
            })
        };
        let at = |time: f64| spread(flow.steps(&x0, growing(time, 1.2)).last().unwrap());
        [30.0, 1e3, 1e4, 1e6].map(at).to_vec()
    };
    // beta of at least 2 r2 s(-1) = 8 lies above 4.
    let unstable = spreads(15.0);
    assert!(unstable[1..].iter().flatten().all(|s| *s > 0.3), "{unstable:?}");
    let stable = spreads(2.0);
    assert!(stable[3].iter().all(|s| *s < 1e-6), "{stable:?}");
}

const NETWORK: &str = "form = \"variational\"\nsolver = \"implicit\"\nstep = 0.5\ngrowth = 1.5\ntime = 40.0\n\
    hidden = 4\naggregation = 8.0\ndiffusion = 1.0\nalpha = \"channel\"\nrelu = false\n";

fn logits(network: &Network, data: &Dataset, change: &dyn Fn(&mut [f64])) -> (Vec<f64>, Vec<f64>) {
    let mut params = Params::new();
    let network = network.build::<f64>(data, &mut params, 2).unwrap();
    change(params.values_mut());
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let out = network.forward(&mut g, &mut Dropout::off()).logits;
    let seed: Vec<f64> = (0..g.shape(out).len()).map(|k| (k as f64).cos()).collect();
    let mut gradient = vec![0.0; params.len()];
    g.backward_from(out, &seed, &mut gradient);
    (g.value(out).data.to_vec(), gradient)
}

#[test]
fn the_gradient_of_the_whole_network_is_that_of_finite_differences() {
    let data = small();
    let network = network("grade", &format!("{NETWORK}source = true\n"));
    let gradient = logits(&network, &data, &|_| ()).1;
    for trial in 0..12 {
        let mut along = vec![0.0; gradient.len()];
        Stream::new(trial, "direction", 0, 0).fill_normal(&mut along);
        let at = |h: f64| -> f64 {
            let move_on = |p: &mut [f64]| p.iter_mut().zip(&along).for_each(|(p, d)| *p += h * d);
            let y = logits(&network, &data, &move_on).0;
            y.iter().enumerate().map(|(k, y)| (k as f64).cos() * y).sum()
        };
        let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
        let analytic: f64 = gradient.iter().zip(&along).map(|(g, d)| g * d).sum();
        let error = (numeric - analytic).abs() / numeric.abs().max(1.0);
        assert!(error < 1e-5, "{numeric} {analytic}");
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let data = block_model(700, 5);
    let model = network("grade", &NETWORK.replace("hidden = 4", "hidden = 40"));
    let bits = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut params = Params::new();
            let network = model.build::<f32>(&data, &mut params, 1).unwrap();
            let mut tape = Tape::new();
            let mut g = tape.record(params.values());
            let out = network.forward(&mut g, &mut Dropout::off()).logits;
            let mut gradient = vec![0.0; params.len()];
            let seed = vec![1.0; g.shape(out).len()];
            g.backward_from(out, &seed, &mut gradient);
            g.value(out).data.iter().chain(&gradient).map(|v| v.to_bits()).collect()
        })
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
}

#[test]
fn what_has_no_meaning_is_refused() {
    let problem = |data: &Dataset, settings: &str| {
        let network = network("grade", settings);
        network.build::<f64>(data, &mut Params::new(), 0).err().unwrap_or_default()
    };
    let data = small();
    let with = |more: &str| problem(&data, &format!("{NETWORK}{more}"));
    assert_eq!(with(""), "");
    assert!(with("normalisation = \"symmetric\"").contains("wants model.normalisation = \"row\""));
    assert!(with("attention = true").contains("no model.attention"));
    assert!(with("sigma = \"power:2\"").contains("has no place for a model.sigma"));
    assert!(with("beta = \"time\"").contains("has no place for model.beta = \"time\""));
    assert!(with("backward = \"adjoint\"").contains("wants model.backward = \"tape\""));
    assert!(problem(&data, "form = \"variational\"").contains("set model.solver = \"implicit\""));
    assert!(problem(&data, "solver = \"implicit\"").contains("belongs to"));
    assert!(problem(&data, "growth = 1.5").contains("model.growth belongs to"));
    let mut directed = small();
    directed.edges.remove(0);
    assert!(problem(&directed, NETWORK).contains("undirected"));
}
