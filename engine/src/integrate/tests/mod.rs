mod adaptive;
mod fixed;
mod sde;

/// The slope of the least-squares line through (ln h, ln error): the observed order.
fn observed_order(h: &[f64], errors: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().map(|x| x.ln()).sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(h), mean(errors));
    let pairs = || h.iter().zip(errors).map(|(x, y)| (x.ln() - mx, y.ln() - my));
    pairs().map(|(x, y)| x * y).sum::<f64>() / pairs().map(|(x, _)| x * x).sum::<f64>()
}

#[test]
fn the_order_of_a_power_law_is_its_exponent() {
    let h = [0.1, 0.2, 0.4];
    assert!((observed_order(&h, &h.map(|h: f64| 3.0 * h.powi(4))) - 4.0).abs() < 1e-12);
}
