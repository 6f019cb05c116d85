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
