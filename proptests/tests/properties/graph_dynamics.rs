//! What the graph equations must obey: symmetry under renaming of nodes, conservation, positivity, decay
//! of the free energy, stability of consensus, their limits, the order of their integration, gradients.

use std::sync::Arc;

use engine::gradcheck::gradcheck;
use engine::ops::edge::Mean;
use engine::rng::Stream;
use engine::{Matrix, Params, Recording, Tape, Var};
use models::gnn::data::synthetic::BlockModel;
use models::gnn::equations::coefficient::Dependence;
use models::gnn::equations::{
    Dynamics, Equation, Form, GradeSettings, GrandSettings, Kernel, Mixing, Mobility, Sigma, Start,
};
use models::gnn::layers::Builder;
use models::gnn::networks::{Continuous, Integration, Network, Solver};
use models::gnn::{Adjacency, Dataset, Dropout, Normalisation};
use toml::{Table, Value};

const CHANNELS: usize = 3;

pub(crate) fn small() -> Dataset {
    BlockModel { nodes: 30, classes: 3, degree: 4.0, homophily: 0.6, features: 5, signal: 1.0 }.draw(3)
}

fn settings(form: Form, kernel: Kernel) -> GradeSettings {
    GradeSettings {
        form,
        kernel,
        mobility: Mobility::Node,
        sigma: Sigma::Identity,
        diffusion: 0.8,
        aggregation: 0.6,
        log_eps: 0.5,
        width: 1.0,
        alpha: Dependence::Channel,
        beta: Dependence::Channel,
        source: false,
    }
}

/// An equation on a graph with fixed weights, with its parameters.
fn built(
    equation: &impl Equation,
    data: &Dataset,
    (normalisation, loops): (Normalisation, bool),
    seed: u64,
) -> (Params<f64>, Arc<dyn Dynamics<f64>>) {
    let mut params = Params::new();
    let on = &mut Builder::new(data, &mut params, seed);
    let mixing = Mixing::new(on, on.adjacency(normalisation, loops), CHANNELS, 0);
    let dynamics = equation.build(on, mixing, CHANNELS);
    (params, dynamics)
}

fn velocity(dynamics: &dyn Dynamics<f64>, params: &Params<f64>, x: &Matrix<f64>) -> Matrix<f64> {
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let v = record(dynamics, &mut g, x);
    Matrix::from_vec(x.rows(), x.cols(), g.value(v).data.to_vec())
}

fn record(dynamics: &dyn Dynamics<f64>, g: &mut Recording<f64>, x: &Matrix<f64>) -> Var {
    let x = g.variable(x.rows(), x.cols(), x.data());
    let start = Start { weights: dynamics.weights(g, x), x0: x };
    dynamics.velocity(g, x, 0.3, start)
}

fn positive(nodes: usize) -> Matrix<f64> {
    let mut s = Stream::new(4, "positive", 0, 0);
    Matrix::from_fn(CHANNELS, nodes, |_, _| 0.1 + s.uniform())
}

/// A network with some of the settings of a line of TOML: those that it has.
pub(crate) fn network(name: &str, settings: &str) -> Network {
    let mut table = Table::try_from(Network::named(name).unwrap()).unwrap();
    for (key, value) in settings.parse::<Table>().unwrap() {
        if let Some(own) = table.get_mut(&key) {
            *own = value;
        }
    }
    Value::Table(table).try_into().unwrap()
}

const SMALL: &str = "hidden = 8\nheads = 2\nlayers = 3\ndropout = 0.0\ninput_dropout = 0.0\n";

/// Every network, and GRADE in its variants.
fn variants() -> Vec<Network> {
    let with = |name: &str, more: &str| network(name, &format!("{SMALL}{more}"));
    let mut all: Vec<Network> = Network::NAMES.iter().map(|name| with(name, "")).collect();
    for kernel in ["gat", "log", "gauss", "sin", "none"] {
        let more = format!("kernel = \"{kernel}\"\nalpha = \"time\"\nsource = true\nattention = true");
        all.push(with("grade", &more));
    }
    for mobility in ["node", "mean", "log-mean", "upwind"] {
        let more = "form = \"paper\"\nkernel = \"log\"\nsigma = \"learned\"";
        all.push(with("grade", &format!("{more}\nmobility = \"{mobility}\"")));
    }
    all.extend(["grade", "graphcon", "frond"].map(|name| with(name, "skip = true")));
    all.push(with("grade", "sigma = \"power:2\"\nsolver = \"adaptive\""));
    let flow = "form = \"variational\"\nsolver = \"implicit\"\ntime = 8.0\ngrowth = 2.0\naggregation = 8.0";
    all.push(with("grade", flow));
    all
}

fn logits(network: &Network, data: &Dataset) -> Vec<f64> {
    let mut params = Params::new();
    let network = network.build::<f64>(data, &mut params, 1).unwrap();
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let out = network.forward(&mut g, &mut Dropout::off()).logits;
    g.value(out).data.to_vec()
}

#[test]
fn renaming_the_nodes_renames_the_result() {
    let data = small();
    let n = data.nodes();
    // Node i becomes 7 i + 2 mod n (n = 30 has no common factor with 7).
    let name = |i: u32| (7 * i + 2) % n as u32;
    let mut other = data.clone();
    other.edges = data.edges.iter().map(|(u, v)| (name(*u), name(*v))).collect();
    other.edges.sort_unstable();
    let old: Vec<u32> = (0..n as u32).map(|k| (0..n as u32).find(|i| name(*i) == k).unwrap()).collect();
    let row = |i: u32| (0..5).map(move |j| (i, j));
    let x: Vec<f32> =
        old.iter().flat_map(|i| row(*i)).map(|(i, j)| data.features.get(i as usize, j)).collect();
    other.features = models::gnn::FeatureMatrix::from_rows(n, 5, x);
    for model in variants() {
        let (a, b) = (logits(&model, &data), logits(&model, &other));
        assert!(a.iter().all(|v| v.is_finite()), "{model:?}");
        for i in 0..n as u32 {
            let (own, renamed) = (i as usize * 3, name(i) as usize * 3);
            for k in 0..3 {
                let (p, q) = (a[own + k], b[renamed + k]);
                assert!((p - q).abs() < 1e-10 * p.abs().max(1.0), "{}: {p} {q}", model.name());
            }
        }
    }
}

#[test]
fn symmetric_mobilities_conserve_mass() {
    let data = small();
    for mobility in [Mobility::Mean, Mobility::LogMean, Mobility::Upwind] {
        for sigma in [Sigma::Identity, Sigma::Power(2.0), Sigma::Learned] {
            for kernel in [Kernel::Log, Kernel::Gauss] {
                let settings = GradeSettings { mobility, sigma, ..settings(Form::Paper, kernel) };
                let (params, grade) = built(&settings, &data, (Normalisation::Ones, false), 2);
                let v = velocity(&*grade, &params, &positive(data.nodes()));
                let size: f64 = v.data().iter().map(|v| v.abs()).sum();
                for a in 0..CHANNELS {
                    let total: f64 = (0..v.cols()).map(|i| v[(a, i)]).sum();
                    assert!(total.abs() < 1e-12 * size, "{mobility:?} {sigma:?}: {total}");
                }
            }
        }
    }
}

#[test]
fn upwind_keeps_densities_positive() {
    let data = small();
    let settings = GradeSettings {
        mobility: Mobility::Upwind,
        sigma: Sigma::Power(2.0),
        aggregation: 3.0,
        ..settings(Form::Paper, Kernel::Log)
    };
    let (params, grade) = built(&settings, &data, (Normalisation::Ones, false), 2);
    let mut x = positive(data.nodes());
    (0..data.nodes()).step_by(3).for_each(|i| x.col_mut(i).fill(0.0));
    let v = velocity(&*grade, &params, &x);
    for i in (0..data.nodes()).step_by(3) {
        assert!(v.col(i).iter().all(|v| *v >= 0.0), "node {i}: {:?}", v.col(i));
    }
}

#[test]
fn the_gradient_flow_lowers_its_free_energy() {
    // F = sum x log x - x + x^T K x / 2 with a fixed symmetric K; dx/dt = sum_v w theta (dF_v - dF_u).
    let data = small();
    let n = data.nodes();
    let graph = Adjacency::<f64>::new(n, &data.edges, Normalisation::Ones, false);
    let kappa: Vec<f64> = data.edges.iter().map(|(u, v)| 0.3 * f64::from(u + v).sin()).collect();
    let rate = |x: &[f64]| -> (Vec<f64>, f64) {
        let mut tape = Tape::new();
        let mut g = tape.record(&[]);
        let x = g.variable(1, n, x);
        let w = g.constant(1, graph.weights.len(), &graph.weights);
        let k = g.constant(1, kappa.len(), &kappa);
        let phi = g.sparse_columns(&graph.sparse, k, x);
        let log = g.log(x);
        let potential = g.add(log, phi);
        let v = g.edge_flux(&graph.sparse, Mean::Logarithmic, w, x, potential);
        let (xs, phis) = (g.value(x).data, g.value(phi).data);
        let energy = xs.iter().zip(phis).map(|(x, p)| x * x.ln() - x + 0.5 * x * p).sum();
        (g.value(v).data.to_vec(), energy)
    };
    let mut x: Vec<f64> = positive(n).data()[..n].to_vec();
    let (mut last, mass) = (f64::INFINITY, x.iter().sum::<f64>());
    for _ in 0..400 {
        let (v, energy) = rate(&x);
        assert!(energy < last, "{energy} after {last}");
        last = energy;
        x.iter_mut().zip(v).for_each(|(x, v)| *x += 0.01 * v);
    }
    assert!((x.iter().sum::<f64>() - mass).abs() < 1e-10);
    // The diffusive part is the Laplacian: theta (log b - log a) = b - a.
    let y = positive(n);
    let mut tape = Tape::new();
    let mut g = tape.record(&[]);
    let x = g.constant(CHANNELS, n, y.data());
    let w = g.constant(1, graph.weights.len(), &graph.weights);
    let log = g.log(x);
    let flow = g.edge_flux(&graph.sparse, Mean::Logarithmic, w, x, log);
    let mixed = g.sparse_columns(&graph.sparse, w, x);
    for i in 0..n {
        for a in 0..CHANNELS {
            let want = g.value(mixed).col(i)[a] - graph.row_sums[i] * y[(a, i)];
            assert!((g.value(flow).col(i)[a] - want).abs() < 1e-12);
        }
    }
}

/// A ring of n nodes, and the wave of wave number m on it with its eigenvalue of I - A.
fn ring(n: u32, m: f64) -> (Dataset, Vec<f64>, f64) {
    let edges: Vec<(u32, u32)> = (0..n).map(|i| (i, (i + 1) % n)).collect();
    let data = models::gnn::data::synthetic::from_edges("ring", n as usize, &edges, vec![0; n as usize], 1);
    let angle = 2.0 * std::f64::consts::PI * m / f64::from(n);
    (data, (0..n).map(|i| (angle * f64::from(i)).cos()).collect(), 1.0 - angle.cos())
}

#[test]
fn consensus_grows_or_decays_at_the_rate_of_linear_theory() {
    let (data, wave, lambda) = ring(12, 2.0);
    for (form, kernel, c) in [
        (Form::Code, Kernel::Log, 0.9),
        (Form::Code, Kernel::Log, 3.0),
        (Form::Code, Kernel::Gauss, -2.0),
        (Form::Code, Kernel::Gat, 1.5),
        (Form::Paper, Kernel::Gauss, 0.7),
        (Form::Paper, Kernel::Gauss, -1.1),
    ] {
        let (params, grade) = built(&settings(form, kernel), &data, (Normalisation::Row, false), 2);
        let b = params.view(params.find("beta").unwrap()).data.to_vec();
        let delta = 1e-6;
        let x = Matrix::from_fn(CHANNELS, 12, |_, i| c + delta * wave[i]);
        let v = velocity(&*grade, &params, &x);
        for a in 0..CHANNELS {
            // s(0) = 1/2; K 1 = k on consensus; K wave = mu wave for the constant Gaussian kernel.
            let k = match kernel {
                Kernel::Log => 2.0 * 0.5_f64.ln(),
                Kernel::Gauss if form == Form::Paper => 2.0 * (1.0 - lambda),
                Kernel::Gauss => 2.0,
                _ => 1.0,
            };
            let rate = -lambda * (0.8 * 0.5 + 0.6 * b[a] * c * k);
            for i in 0..12 {
                let got = v[(a, i)] / delta;
                assert!((got - rate * wave[i]).abs() < 2e-5, "{form:?} {kernel:?}: {got} {}", rate * wave[i]);
            }
        }
    }
}

#[test]
fn without_aggregation_it_is_grand() {
    let data = small();
    let x = positive(data.nodes());
    let (params, grand) = built(&GrandSettings::default(), &data, (Normalisation::Row, true), 0);
    let want = velocity(&*grand, &params, &x);
    for form in [Form::Code, Form::Paper] {
        for kernel in [Kernel::Gat, Kernel::None] {
            let aggregation = if kernel == Kernel::None { 1.0 } else { 0.0 };
            let settings = GradeSettings { diffusion: 1.0, aggregation, ..settings(form, kernel) };
            let (params, grade) = built(&settings, &data, (Normalisation::Row, true), 0);
            let got = velocity(&*grade, &params, &x);
            assert!(got.data().iter().zip(want.data()).all(|(a, b)| (a - b).abs() < 1e-14));
        }
    }
}

#[test]
fn integration_converges_with_the_order_of_its_method() {
    let data = small();
    let last = |solver, step| {
        let mut model = Continuous::<GradeSettings>::default();
        model.ends.width.hidden = CHANNELS;
        model.equation.kernel = Kernel::Gauss;
        model.integration = Integration { time: 1.0, step, solver, tolerance: 1e-10, ..model.integration };
        let mut params = Params::new();
        let network = Network::Grade(model).build::<f64>(&data, &mut params, 5).unwrap();
        let mut tape = Tape::new();
        let mut g = tape.record(params.values());
        let out = network.forward(&mut g, &mut Dropout::off()).last;
        g.value(out).data.to_vec()
    };
    let exact = last(Solver::Adaptive, 1.0);
    let error = |solver, step| -> f64 {
        last(solver, step).iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    for (solver, order) in [(Solver::Euler, 1.0), (Solver::Midpoint, 2.0), (Solver::Rk4, 4.0)] {
        let slope = (error(solver, 1.0 / 16.0) / error(solver, 1.0 / 32.0)).log2();
        assert!((slope - order).abs() < 0.2, "{solver:?}: {slope}");
    }
}

#[test]
fn every_variant_has_the_right_gradient_in_its_state() {
    let data = small();
    for (form, kernel) in [
        (Form::Code, Kernel::Gat),
        (Form::Code, Kernel::Log),
        (Form::Code, Kernel::Gauss),
        (Form::Code, Kernel::Sin),
        (Form::Paper, Kernel::Gat),
        (Form::Paper, Kernel::Log),
        (Form::Paper, Kernel::Gauss),
    ] {
        for mobility in [Mobility::Node, Mobility::Mean, Mobility::LogMean, Mobility::Upwind] {
            let settings = GradeSettings { mobility, sigma: Sigma::Learned, ..settings(form, kernel) };
            let (params, grade) = built(&settings, &data, (Normalisation::Symmetric, false), 2);
            // Parameters enter as constants of a second tape's making: the state alone is varied.
            let values = params.values().to_vec();
            let x = positive(data.nodes());
            let mut tape = Tape::new();
            let run = |x: &Matrix<f64>, tape: &mut Tape<f64>| -> f64 {
                let mut g = tape.record(&values);
                let v = record(&*grade, &mut g, x);
                g.value(v).data.iter().enumerate().map(|(k, v)| (k as f64).sin() * v).sum()
            };
            let mut g = tape.record(&values);
            let var = g.variable(CHANNELS, data.nodes(), x.data());
            let start = Start { weights: grade.weights(&mut g, var), x0: var };
            let v = grade.velocity(&mut g, var, 0.3, start);
            let seed: Vec<f64> = (0..x.data().len()).map(|k| (k as f64).sin()).collect();
            let mut params_bar = vec![0.0; values.len()];
            g.backward_from(v, &seed, &mut params_bar);
            let gradient = g.grad(var).data.to_vec();
            for k in (0..x.data().len()).step_by(7) {
                let at = |sign: f64, tape: &mut Tape<f64>| {
                    let mut moved = x.clone();
                    moved.data_mut()[k] += sign * 1e-6;
                    run(&moved, tape)
                };
                let numeric = (at(1.0, &mut tape) - at(-1.0, &mut tape)) / 2e-6;
                let error = (numeric - gradient[k]).abs() / gradient[k].abs().max(1.0);
                assert!(error < 1e-6, "{form:?} {kernel:?} {mobility:?}: {numeric} {}", gradient[k]);
            }
        }
    }
    // The whole of gradcheck on one of them, with the tape poisoned between runs.
    let adjacency = Adjacency::<f64>::new(30, &data.edges, Normalisation::Row, true);
    let f = |g: &mut Recording<f64>, x: &[Var]| {
        let r = g.edge_distance(&adjacency.sparse, x[0], x[0]);
        let r = g.affine(r, 1.0, 0.5);
        let k = g.log(r);
        g.sparse_columns(&adjacency.sparse, k, x[0])
    };
    gradcheck(&[positive(30)], 1e-6, f).unwrap();
}
