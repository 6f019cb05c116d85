//! Adaptive steps.

use super::tableau::{DORMAND_PRINCE, EULER, RK4};
use super::{Adaptive, OdeError, Stats, Tableau};
use crate::Real;

/// Two bodies on an ellipse of excentricity 1/2: period 2 pi.
fn kepler(_: f64, y: &[f64], dy: &mut [f64]) {
    let r3 = (y[0] * y[0] + y[1] * y[1]).powf(1.5);
    (dy[0], dy[1]) = (y[2], y[3]);
    (dy[2], dy[3]) = (-y[0] / r3, -y[1] / r3);
}

const PERIHELION: [f64; 4] = [0.5, 0.0, 0.0, 1.7320508075688772];
const PERIOD: f64 = 2.0 * std::f64::consts::PI;

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_error_is_proportional_to_the_tolerance() {
    let tolerances = [1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10];
    let errors = tolerances.map(|tolerance| {
        let mut y = PERIHELION;
        Adaptive::new(&DORMAND_PRINCE, tolerance, tolerance)
            .unwrap()
            .solve(kepler, 0.0, PERIOD, &mut y)
            .unwrap();
        distance(&y, &PERIHELION)
    });
    let order = observed_order(&tolerances, &errors);
    assert!((order - 1.0).abs() < 0.2, "{order}: {errors:?}");
    assert!(errors.iter().zip(tolerances).all(|(e, tolerance)| *e < 300.0 * tolerance), "{errors:?}");
}

#[test]
fn the_work_is_counted_and_does_not_grow() {
    let mut calls = 0;
    let f = |t: f64, y: &[f64], dy: &mut [f64]| {
        calls += 1;
        kepler(t, y, dy);
    };
    let stats = Adaptive::new(&DORMAND_PRINCE, 1e-6, 1e-6)
        .unwrap()
        .solve(f, 0.0, PERIOD, &mut PERIHELION.clone())
        .unwrap();
    assert_eq!(stats.evaluations, calls);
    // One for the first stage, one for the first step's size, six for every step.
    assert_eq!(stats.evaluations, 2 + 6 * (stats.accepted + stats.rejected));
    assert!(stats.accepted + stats.rejected <= 40, "{stats:?}");
}

#[test]
fn a_decay_is_met_in_both_precisions() {
    fn check<T: Real>(tolerance: f64) {
        let mut y = [T::ONE];
        let mut solver = Adaptive::new(&DORMAND_PRINCE, tolerance, tolerance).unwrap();
        solver.solve(|_, y, dy| dy[0] = -y[0], 0.0, 5.0, &mut y).unwrap();
        assert!((y[0].f64() - (-5.0f64).exp()).abs() < 5.0 * tolerance, "{}", y[0]);
    }
    check::<f64>(1e-11);
    check::<f32>(1e-5);
}

#[test]
fn time_runs_backward_too() {
    let mut y = [(-5.0f64).exp()];
    let mut solver = Adaptive::new(&DORMAND_PRINCE, 1e-10, 1e-14).unwrap();
    solver.solve(|_, y, dy| dy[0] = -y[0], 5.0, 0.0, &mut y).unwrap();
    assert!((y[0] - 1.0).abs() < 1e-8, "{}", y[0]);
}

#[test]
fn a_method_that_does_not_reuse_its_last_stage_works_as_well() {
    /// Heun's method, the explicit trapezoidal rule, with Euler's embedded.
    static HEUN: Tableau = Tableau {
        name: "Heun",
        order: 2,
        c: &[0.0, 1.0],
        a: &[&[], &[1.0]],
        b: &[0.5, 0.5],
        error: &[-0.5, 0.5],
        embedded_order: 1,
        ..EULER
    };
    let mut y = [1.0f64];
    let stats =
        Adaptive::new(&HEUN, 1e-6, 1e-6).unwrap().solve(|_, y, dy| dy[0] = -y[0], 0.0, 1.0, &mut y).unwrap();
    assert!((y[0] - (-1.0f64).exp()).abs() < 1e-4);
    let tried = stats.accepted + stats.rejected;
    assert_eq!(stats.evaluations, 1 + 1 + tried + stats.accepted - 1);
}

#[test]
fn a_singularity_is_reported_where_it_is() {
    // y' = y^2 from 1: y = 1 / (1 - t).
    let mut y = [1.0f64];
    let error = Adaptive::new(&DORMAND_PRINCE, 1e-6, 1e-6)
        .unwrap()
        .solve(|_, y, dy| dy[0] = y[0] * y[0], 0.0, 2.0, &mut y)
        .unwrap_err();
    let (OdeError::StepTooSmall { t, .. } | OdeError::NonFinite { t }) = error else {
        panic!("{error}");
    };
    assert!((t - 1.0).abs() < 1e-5, "{error}");
    assert!(y[0] > 1e5 && y[0].is_finite());
}

#[test]
fn a_derivative_that_is_not_a_number_is_reported() {
    let mut solver = Adaptive::new(&DORMAND_PRINCE, 1e-6, 1e-6).unwrap();
    let nan = |_: f64, _: &[f64], dy: &mut [f64]| dy[0] = f64::NAN;
    assert_eq!(solver.solve(nan, 3.0, 4.0, &mut [1.0]), Err(OdeError::NonFinite { t: 3.0 }));
    let later = |t: f64, _: &[f64], dy: &mut [f64]| dy[0] = if t > 0.5 { f64::NAN } else { 1.0 };
    let error = solver.solve(later, 0.0, 1.0, &mut [1.0]).unwrap_err();
    assert!(matches!(error, OdeError::NonFinite { t } if (t - 0.5).abs() < 1e-9), "{error}");
}

#[test]
fn the_limit_of_steps_is_kept() {
    let mut solver = Adaptive::new(&DORMAND_PRINCE, 1e-10, 1e-10).unwrap();
    solver.max_steps = 5;
    let error = solver.solve(kepler, 0.0, PERIOD, &mut PERIHELION.clone()).unwrap_err();
    assert!(matches!(error, OdeError::MaxSteps { max_steps: 5, .. }), "{error}");
}

#[test]
fn no_time_and_no_state_take_no_work() {
    let mut solver = Adaptive::<f64>::new(&DORMAND_PRINCE, 1e-6, 1e-6).unwrap();
    assert_eq!(solver.solve(kepler, 1.0, 1.0, &mut PERIHELION.clone()), Ok(Stats::default()));
    assert!(solver.solve(|_, _, _| (), 0.0, 1.0, &mut []).unwrap().accepted < 20);
}

#[test]
fn a_method_without_error_estimate_is_refused() {
    let error = Adaptive::<f64>::new(&RK4, 1e-6, 1e-6).unwrap_err();
    assert_eq!(error, OdeError::NoErrorEstimate { name: "RK4" });
    assert!(error.to_string().contains("RK4 has no error estimate"));
}

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
