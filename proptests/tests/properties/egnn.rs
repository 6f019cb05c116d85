//! The equivariant network: its op against a plain reference and finite differences, its symmetries, its
//! independence of threads.

use std::sync::Arc;

use engine::data_parallel::DataParallel;
use engine::gradcheck::gradcheck;
use engine::ops::index::Moves;
use engine::rng::Stream;
use engine::{Matrix, Params, Recording, Tape, Var};
use models::score::{EgnnConfig, Messages, Pairs, Scales, ScoreEgnn, ScoreNetwork};
use proptest::prelude::*;

use crate::cases::cases;

fn random(rows: usize, cols: usize, scale: f64, seed: u64) -> Matrix<f64> {
    let mut s = Stream::new(seed, "test", 0, 0);
    let mut x = vec![0.0; rows * cols];
    s.fill_normal(&mut x);
    Matrix::from_vec(rows, cols, x.iter().map(|v| scale * v).collect())
}

/// h, x, origin, E1, b1, E2, b2, a, a0, C, c1, w, w0.
fn inputs(pairs: Pairs, states: usize, hidden: usize, seed: u64) -> Vec<Matrix<f64>> {
    let nodes = states * pairs.particles;
    let of = |k: u64, rows, cols| random(rows, cols, 0.5, seed.wrapping_add(k));
    vec![
        of(0, hidden, nodes),
        random(pairs.space, nodes, 1.0, seed + 1),
        random(pairs.space, nodes, 1.0, seed + 2),
        of(3, hidden, 2 * hidden + 2),
        of(4, hidden, 1),
        of(5, hidden, hidden),
        of(6, hidden, 1),
        of(7, 1, hidden),
        of(8, 1, 1),
        of(9, hidden, hidden),
        of(10, hidden, 1),
        of(11, 1, hidden),
        of(12, 1, 1),
    ]
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// silu(M x + b).
fn layer(m: &Matrix<f64>, x: &[f64], b: &Matrix<f64>) -> Vec<f64> {
    let row = |r: usize| x.iter().enumerate().map(|(c, x)| m.data()[c * m.rows() + r] * x).sum::<f64>();
    (0..m.rows()).map(|r| row(r) + b.data()[r]).map(|z| z * sigmoid(z)).collect()
}

/// The equations, one edge after the other.
fn reference(pairs: Pairs, v: &[Matrix<f64>]) -> Vec<f64> {
    let (hidden, nodes, space) = (v[0].rows(), v[0].cols(), pairs.space);
    let column = |m: &Matrix<f64>, j: usize| m.data()[j * m.rows()..(j + 1) * m.rows()].to_vec();
    let square = |m: &Matrix<f64>, i: usize, j: usize| -> f64 {
        column(m, i).iter().zip(column(m, j)).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let mut out = Vec::new();
    for i in 0..nodes {
        let (mut sum, mut place) = (vec![0.0; hidden], column(&v[1], i));
        for j in 0..nodes {
            let (r2, e0) = (square(&v[1], i, j), square(&v[2], i, j));
            if i == j || i / pairs.particles != j / pairs.particles || e0.sqrt() >= pairs.cutoff {
                continue;
            }
            let seen = [column(&v[0], i), column(&v[0], j), vec![r2, e0]].concat();
            let u = layer(&v[5], &layer(&v[3], &seen, &v[4]), &v[6]);
            let dot = |w: &Matrix<f64>, x: &[f64]| w.data().iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            let gate = sigmoid(dot(&v[7], &u) + v[8].data()[0]);
            let m: Vec<f64> = u.iter().map(|u| gate * u).collect();
            let c = (dot(&v[11], &layer(&v[9], &m, &v[10])) + v[12].data()[0]).tanh();
            sum.iter_mut().zip(&m).for_each(|(s, m)| *s += m);
            for k in 0..space {
                let d = v[1].data()[i * space + k] - v[1].data()[j * space + k];
                place[k] += c * d / ((r2 + 1e-8).sqrt() + 1.0);
            }
        }
        out.extend(sum);
        out.extend(place);
    }
    out
}

fn shapes() -> impl Strategy<Value = (Pairs, usize, usize, u64)> {
    let cutoff = prop_oneof![Just(f64::INFINITY), Just(1.5)];
    let hidden = prop_oneof![Just(1_usize), Just(5), Just(16), Just(19), Just(33)];
    ((2_usize..=5, 1_usize..=3, cutoff), 0_usize..=3, hidden, 0_u64..1 << 40).prop_map(
        |((particles, space, cutoff), states, hidden, seed)| {
            (Pairs { particles, space, cutoff }, states, hidden, seed)
        },
    )
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn messages_are_those_of_the_plain_equations((pairs, states, hidden, seed) in shapes()) {
        let v = inputs(pairs, states, hidden, seed);
        let op = Arc::new(Messages::new(pairs));
        let mut tape = Tape::<f64>::new();
        // Twice: the second pass meets memory that the first one left.
        for _ in 0..2 {
            let mut g = tape.record(&[]);
            let vars: Vec<Var> = v.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
            let out = g.apply(op.clone(), &vars);
            for (got, want) in g.value(out).data.iter().zip(reference(pairs, &v)) {
                prop_assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{got} {want}");
            }
        }
    }

    #[test]
    fn gradients_of_messages_match_finite_differences((pairs, states, hidden, seed) in shapes()) {
        let v = inputs(pairs, states, hidden, seed);
        let op = Arc::new(Messages::new(pairs));
        // Which pairs are edges is a constant of a radius graph: the input's positions are not varied there.
        let varied = |k: usize| k != 2 || pairs.cutoff.is_infinite();
        let free: Vec<Matrix<f64>> = (0..13).filter(|k| varied(*k)).map(|k| v[k].clone()).collect();
        let f = |g: &mut Recording<f64>, x: &[Var]| {
            let mut x = x.to_vec();
            if !varied(2) {
                x.insert(2, g.constant(v[2].rows(), v[2].cols(), v[2].data()));
            }
            g.apply(op.clone(), &x)
        };
        prop_assert!(gradcheck(&free, 1e-6, f).map_err(|e| TestCaseError::fail(e.to_string()))? <= 1e-6);
    }
}

/// A first layer, where all particles of a state have one h: half of the edges give the same messages, and the
/// same gradients to that one h and to everything else.
fn check_even(pairs: Pairs, states: usize, hidden: usize, seed: u64) -> Result<(), TestCaseError> {
    let mut v = inputs(pairs, states, hidden, seed);
    let one = random(hidden, states, 0.5, seed);
    let state: Vec<usize> = (0..states * pairs.particles).map(|i| i / pairs.particles).collect();
    let repeated = state.iter().flat_map(|s| &one.data()[s * hidden..(s + 1) * hidden]).copied();
    v[0] = Matrix::from_vec(hidden, states * pairs.particles, repeated.collect());
    let want = reference(pairs, &v);
    v[0] = one;
    let op = Arc::new(Messages::new(pairs));
    let uniform = Arc::new(op.for_uniform_nodes());
    let spread = Moves::new(state.iter().map(|s| *s as u32).collect(), states)
        .map_err(|e| TestCaseError::fail(e.to_string()))?;
    let f = |g: &mut Recording<f64>, x: &[Var]| {
        let mut x = x.to_vec();
        x[0] = g.gather(x[0], &spread);
        if x.len() < 13 {
            x.insert(2, g.constant(v[2].rows(), v[2].cols(), v[2].data()));
        }
        g.apply(uniform.clone(), &x)
    };
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let vars: Vec<Var> = v.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
    let out = f(&mut g, &vars);
    prop_assert_eq!(g.value(out).data.len(), want.len());
    for (got, want) in g.value(out).data.iter().zip(want) {
        prop_assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{got} {want}");
    }
    let varied = |k: &usize| *k != 2 || pairs.cutoff.is_infinite();
    let free: Vec<Matrix<f64>> = (0..13).filter(varied).map(|k| v[k].clone()).collect();
    let error = gradcheck(&free, 1e-6, f).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert!(error <= 1e-6, "{error}");
    Ok(())
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn one_edge_of_a_pair_is_enough_in_a_first_layer((pairs, states, hidden, seed) in shapes()) {
        check_even(pairs, states, hidden, seed)?;
    }
}

#[test]
fn one_edge_of_a_pair_is_enough_in_full_blocks() {
    let pairs = Pairs { particles: 4, space: 2, cutoff: f64::INFINITY };
    check_even(pairs, 90, 3, 5).unwrap();
}

/// The op keeps the memory of its blocks from use to use; it must not depend on the width it was first used at.
#[test]
fn one_op_serves_layers_of_different_widths() {
    let pairs = Pairs { particles: 4, space: 2, cutoff: f64::INFINITY };
    let op = Arc::new(Messages::new(pairs));
    for hidden in [2, 9, 3] {
        // More edges than a block has, so that a block is full.
        let v = inputs(pairs, 40, hidden, 7);
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let vars: Vec<Var> = v.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
        let out = g.apply(op.clone(), &vars);
        for (got, want) in g.value(out).data.iter().zip(reference(pairs, &v)) {
            assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "width {hidden}: {got} {want}");
        }
        let error = gradcheck(&v, 1e-6, |g, x| g.apply(op.clone(), x)).unwrap_or_else(|e| panic!("{e}"));
        assert!(error <= 1e-6, "width {hidden}: {error}");
    }
}

fn network(pairs: Pairs, params: &mut Params<f64>) -> ScoreEgnn<f64> {
    let scales = Scales { sigma_data: 1.5, mode_scale: 0.3, sigma_range: (0.01, 5.0), time_features: 6 };
    let network = ScoreEgnn::new(EgnnConfig { pairs, hidden: 20, layers: 3 }, scales, params, 1);
    // The last weights begin near 0; a trained network's do not.
    let noise = random(params.len(), 1, 0.2, 2);
    params.values_mut().iter_mut().zip(noise.data()).for_each(|(p, e)| *p += e);
    network
}

fn output(network: &ScoreEgnn<f64>, params: &Params<f64>, x: &[f64]) -> Vec<f64> {
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let (d, n) = (network.dim(), x.len() / network.dim());
    let sigma: Vec<f64> = (0..n).map(|k| 0.1 + 0.4 * k as f64).collect();
    let x = g.constant(d, n, x);
    let f = network.record(&mut g, x, &sigma);
    g.value(f).data.to_vec()
}

/// A random rotation or reflection of `space` dimensions, from normal columns by Gram and Schmidt.
fn orthogonal(space: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for k in 0..space {
        let mut row = random(space, 1, 1.0, seed + k as u64).data().to_vec();
        for other in &rows {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        rows.push(row.iter().map(|v| v / norm).collect());
    }
    rows
}

fn turned(x: &[f64], q: &[Vec<f64>]) -> Vec<f64> {
    let turn = |x: &[f64]| {
        q.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>()).collect::<Vec<f64>>()
    };
    x.chunks_exact(q.len()).flat_map(turn).collect()
}

#[test]
fn the_network_turns_mirrors_shifts_and_renumbers_with_its_state() {
    for (particles, space, cutoff) in
        [(4, 2, f64::INFINITY), (13, 3, f64::INFINITY), (13, 3, 1.0), (3, 1, f64::INFINITY)]
    {
        let mut params = Params::new();
        let network = network(Pairs { particles, space, cutoff }, &mut params);
        let x = random(particles * space, 5, 1.5, 3).data().to_vec();
        let f = output(&network, &params, &x);
        assert!(f.iter().any(|v| v.abs() > 1e-2), "the network does something");
        let close = |a: &[f64], b: &[f64], what: &str| {
            let error = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-10, "{what}: {error}");
        };
        for seed in 0..4 {
            // Half of them mirror.
            let q = orthogonal(space, 10 * seed + 5);
            close(&output(&network, &params, &turned(&x, &q)), &turned(&f, &q), "rotation or reflection");
        }
        let shifted: Vec<f64> = x.iter().enumerate().map(|(k, v)| v + 1.0 + (k % space) as f64).collect();
        close(&output(&network, &params, &shifted), &f, "translation");
        let renumbered = |x: &[f64]| -> Vec<f64> {
            let order = |i: usize| (i * 2 + 1) % particles;
            // A step of two passes through all of an odd number of particles; of four it swaps two pairs.
            let at = |i: usize| if particles % 2 == 1 { order(i) } else { i ^ 1 };
            x.chunks_exact(particles * space)
                .flat_map(|s| {
                    (0..particles).flat_map(move |i| s[at(i) * space..(at(i) + 1) * space].to_vec())
                })
                .collect()
        };
        close(&output(&network, &params, &renumbered(&x)), &renumbered(&f), "permutation");
        for state in f.chunks_exact(particles * space) {
            for k in 0..space {
                let sum: f64 = state.iter().skip(k).step_by(space).sum();
                assert!(sum.abs() < 1e-12, "the output has no mean");
            }
        }
    }
}

#[test]
fn a_wide_radius_is_no_radius_and_threads_change_nothing() {
    let pairs = Pairs { particles: 13, space: 3, cutoff: f64::INFINITY };
    let mut params = Params::new();
    let all = network(pairs, &mut params);
    let wide = network(Pairs { cutoff: 1e3, ..pairs }, &mut Params::new());
    let x = random(39, 37, 1.5, 3).data().to_vec();
    assert_eq!(output(&all, &params, &x), output(&wide, &params, &x));
    let gradient = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut shards = DataParallel::new(8);
            let mut gradient = Vec::new();
            // The second pass meets tapes and memory that have been used before.
            for _ in 0..2 {
                let (_, g) = shards.gradient(params.values(), 37, |g, range, gradient| {
                    let part = g.constant(39, range.len(), &x[range.start * 39..range.end * 39]);
                    let f = all.record(g, part, &vec![0.3; range.len()]);
                    g.backward_from(f, &x[range.start * 39..range.end * 39], gradient);
                    0.0
                });
                gradient = g.to_vec();
            }
            gradient
        })
    };
    let one = gradient(1);
    assert!(one.iter().any(|v| *v != 0.0));
    assert_eq!(one, gradient(2));
    assert_eq!(one, gradient(3));
}
