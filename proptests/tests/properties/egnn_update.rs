//! The node update of an equivariant layer against the plain ops that it is made of, and finite differences.

use std::sync::Arc;

use engine::gradcheck::gradcheck;
use engine::ops::index::Moves;
use engine::rng::Stream;
use engine::{Matrix, Recording, Tape, Var};
use models::score::{Pairs, Update};
use proptest::prelude::*;

use crate::cases::cases;

fn random(rows: usize, cols: usize, seed: u64) -> Matrix<f64> {
    let mut s = Stream::new(seed, "update", rows as u64, cols as u64);
    let mut m = Matrix::zeros(rows, cols);
    s.fill_normal(m.data_mut());
    m.data_mut().iter_mut().for_each(|v| *v *= 0.5);
    m
}

/// h + N2 silu(N1 [h; heard's upper rows] + n1) + n2, op by op.
fn plain(g: &mut Recording<f64>, x: &[Var]) -> Var {
    let hidden = g.shape(x[0]).rows;
    let heard = g.slice_rows(x[1], 0..hidden);
    let both = g.concat_rows(&[x[0], heard]);
    let inner = g.linear_silu(x[2], both, x[3]);
    let change = g.linear(x[4], inner, x[5]);
    g.add(x[0], change)
}

/// h (one column for each of `seen` columns), what is heard, N1, n1, N2, n2.
fn inputs(pairs: Pairs, nodes: usize, seen: usize, hidden: usize, seed: u64) -> Vec<Matrix<f64>> {
    vec![
        random(hidden, seen, seed),
        random(hidden + pairs.space, nodes, seed + 1),
        random(hidden, 2 * hidden, seed + 2),
        random(hidden, 1, seed + 3),
        random(hidden, hidden, seed + 4),
        random(hidden, 1, seed + 5),
    ]
}

fn check(
    v: &[Matrix<f64>],
    fused: impl Fn(&mut Recording<f64>, &[Var]) -> Var,
    plain: impl Fn(&mut Recording<f64>, &[Var]) -> Var,
) -> Result<(), TestCaseError> {
    let mut tape = Tape::<f64>::new();
    // Twice: the second pass meets memory that the first one left.
    for _ in 0..2 {
        let mut g = tape.record(&[]);
        let vars: Vec<Var> = v.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
        let (got, want) = (fused(&mut g, &vars), plain(&mut g, &vars));
        prop_assert_eq!(g.shape(got), g.shape(want));
        for (got, want) in g.value(got).data.iter().zip(g.value(want).data) {
            prop_assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{got} {want}");
        }
    }
    let error = gradcheck(v, 1e-6, fused).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert!(error <= 1e-6, "{error}");
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn an_update_is_that_of_the_plain_ops(
        particles in 2_usize..=5,
        space in 1_usize..=3,
        states in 0_usize..=7,
        hidden in prop::sample::select(vec![1_usize, 5, 16, 19, 33]),
        seed in 0_u64..1 << 40,
    ) {
        let pairs = Pairs { particles, space, cutoff: f64::INFINITY };
        let (op, nodes) = (Arc::new(Update::new(pairs)), states * particles);
        let uniform = Arc::new(op.for_uniform_nodes());
        check(&inputs(pairs, nodes, nodes, hidden, seed), |g, x| g.apply(op.clone(), x), plain)?;
        // In a first layer all particles of a state have one h, and the gradient to that is the sum of theirs.
        let state: Vec<u32> = (0..nodes).map(|i| (i / particles) as u32).collect();
        let spread = Moves::new(state, states).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let alike = |g: &mut Recording<f64>, x: &[Var]| {
            let mut x = x.to_vec();
            x[0] = g.gather(x[0], &spread);
            x
        };
        let even = |g: &mut Recording<f64>, x: &[Var]| {
            let x = alike(g, x);
            g.apply(uniform.clone(), &x)
        };
        let plain = |g: &mut Recording<f64>, x: &[Var]| {
            let x = alike(g, x);
            plain(g, &x)
        };
        check(&inputs(pairs, nodes, states, hidden, seed ^ 1), even, plain)?;
    }
}
