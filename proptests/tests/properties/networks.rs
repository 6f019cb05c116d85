//! What tests of score networks share.

use engine::Tape;
use engine::rng::Stream;
use models::score::ScoreNetwork;

/// `n` standard Gaussians.
pub(crate) fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut x = vec![0.0; n];
    Stream::new(seed, "states", 0, 0).fill_normal(&mut x);
    x
}

/// <w, F(x)> with its gradients in the state and in the parameters.
pub(crate) fn contracted(
    net: &dyn ScoreNetwork<f64>,
    params: &[f64],
    x: &[f64],
    sigma: &[f64],
    w: &[f64],
) -> (f64, Vec<f64>, Vec<f64>) {
    let mut tape = Tape::new();
    let mut g = tape.record(params);
    let v = g.variable(net.dim(), sigma.len(), x);
    let f = net.record(&mut g, v, sigma);
    let value = g.value(f).data.iter().zip(w).map(|(f, w)| f * w).sum();
    let mut gradient = vec![0.0; params.len()];
    g.backward_from(f, w, &mut gradient);
    (value, g.grad(v).data.to_vec(), gradient)
}

/// df/ds at 0: central differences of steps from 1e-4 down, extrapolated to none by Neville's scheme; of all
/// extrapolations that which differs least from those it was made of (Ridders 1982). No one step serves a network
/// whose third derivative may be huge somewhere.
pub(crate) fn slope(f: impl Fn(f64) -> f64) -> f64 {
    let (mut best, mut least) = (f64::NAN, f64::INFINITY);
    let mut before: Vec<f64> = Vec::new();
    for halvings in 0..10 {
        let h = 1e-4 * 0.5_f64.powi(halvings);
        let mut row = vec![(f(h) - f(-h)) / (2.0 * h)];
        for (order, coarser) in before.iter().enumerate() {
            // The error of even order 2 (order + 1) goes.
            let factor = 4_f64.powi(order as i32 + 1);
            let (finer, next) = (row[order], (factor * row[order] - coarser) / (factor - 1.0));
            let change = (next - finer).abs().max((next - coarser).abs());
            if change < least {
                (best, least) = (next, change);
            }
            row.push(next);
        }
        before = row;
    }
    best
}

/// The derivative of <w, F(x)> in state and parameters along a random direction: by differences, and by the
/// gradients.
pub(crate) fn directional(
    net: &dyn ScoreNetwork<f64>,
    params: &[f64],
    (x, sigma, w): (&[f64], &[f64], &[f64]),
    seed: u64,
) -> (f64, f64) {
    let (_, x_bar, p_bar) = contracted(net, params, x, sigma, w);
    let (u, v) = (normals(x.len(), seed), normals(params.len(), seed + 1));
    let moved = |x: &[f64], u: &[f64], s: f64| x.iter().zip(u).map(|(x, u)| x + s * u).collect::<Vec<f64>>();
    let numeric = slope(|s| contracted(net, &moved(params, &v, s), &moved(x, &u, s), sigma, w).0);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (numeric, dot(&x_bar, &u) + dot(&p_bar, &v))
}
