use super::observed_order;
use crate::integrate::tableau::{ALL, DORMAND_PRINCE, EULER, HEUN, MIDPOINT, RK4};
use crate::integrate::{FixedStep, IntegrateError, Stats};

/// y' = -2 t y^2, y(0) = 1, whose solution is 1 / (1 + t^2).
fn witch_of_agnesi(t: f64, y: &[f64], dy: &mut [f64]) {
    dy[0] = -2.0 * t * y[0] * y[0];
}

/// x' = v, v' = -x.
fn oscillator(_: f64, y: &[f64], dy: &mut [f64]) {
    (dy[0], dy[1]) = (y[1], -y[0]);
}

#[test]
fn one_step_is_the_one_done_by_hand() {
    // y' = t + y from y(0) = 1 with h = 1.
    let f = |t: f64, y: &[f64], dy: &mut [f64]| dy[0] = t + y[0];
    let one_step = |tableau| {
        let mut y = [1.0];
        FixedStep::new(tableau).step(f, 0.0, 1.0, &mut y);
        y[0]
    };
    // k1 = 1.
    assert_eq!(one_step(&EULER), 2.0);
    // k2 = 1/2 + 3/2 = 2.
    assert_eq!(one_step(&MIDPOINT), 3.0);
    // k2 = 1 + 2 = 3.
    assert_eq!(one_step(&HEUN), 3.0);
    // k2 = 2, k3 = 1/2 + 2 = 5/2, k4 = 1 + 7/2 = 9/2: 1 + (1 + 4 + 5 + 9/2) / 6.
    assert!((one_step(&RK4) - (1.0 + 14.5 / 6.0)).abs() < 1e-15);
}

/// On y' = y cos t, y = e^(sin t).
#[test]
fn every_method_converges_with_its_order() {
    for tableau in ALL {
        let steps = [20, 28, 40, 56, 80];
        let h = steps.map(|n| 2.0 / n as f64);
        let errors = steps.map(|n| {
            let mut y = [1.0];
            let f = |t: f64, y: &[f64], dy: &mut [f64]| dy[0] = y[0] * f64::cos(t);
            FixedStep::new(tableau).solve(f, 0.0, 2.0, n, &mut y).unwrap();
            (y[0] - f64::exp(f64::sin(2.0))).abs()
        });
        let order = observed_order(&h, &errors);
        assert!((order - tableau.order as f64).abs() < 0.2, "{}: {order}, {errors:?}", tableau.name);
    }
}

#[test]
fn an_oscillator_returns_after_one_period() {
    let mut y = [1.0, 0.0];
    let period = 2.0 * std::f64::consts::PI;
    FixedStep::new(&RK4).solve(oscillator, 0.0, period, 400, &mut y).unwrap();
    // RK4 turns by h^5/120 too little and loses h^6/144 of its length in each step.
    let h = period / 400.0;
    assert!((y[1] - 400.0 * h.powi(5) / 120.0).abs() < 1e-11, "{y:?}");
    assert!((1.0 - y[0].hypot(y[1]) - 400.0 * h.powi(6) / 144.0).abs() < 1e-13, "{y:?}");
}

#[test]
fn steps_backward_undo_steps_forward_to_the_order() {
    for tableau in ALL {
        let mut y = [0.2];
        FixedStep::new(tableau).solve(witch_of_agnesi, 2.0, 0.0, 2000, &mut y).unwrap();
        let tolerance = if tableau.order == 1 { 5e-3 } else { 1e-5 };
        assert!((y[0] - 1.0).abs() < tolerance, "{}: {}", tableau.name, y[0]);
    }
}

#[test]
fn the_work_is_counted_and_the_last_stage_reused() {
    let mut calls = 0;
    let mut count = |tableau| {
        let f = |t: f64, y: &[f64], dy: &mut [f64]| {
            calls += 1;
            witch_of_agnesi(t, y, dy);
        };
        let stats = FixedStep::new(tableau).solve(f, 0.0, 1.0, 10, &mut [1.0]).unwrap();
        assert_eq!(stats.evaluations, calls);
        calls = 0;
        stats
    };
    assert_eq!(count(&RK4), Stats { accepted: 10, rejected: 0, evaluations: 40 });
    assert_eq!(count(&DORMAND_PRINCE), Stats { accepted: 10, rejected: 0, evaluations: 61 });
}

#[test]
fn reusing_the_last_stage_changes_no_bit() {
    let mut whole = [1.0];
    FixedStep::new(&DORMAND_PRINCE).solve(witch_of_agnesi, 0.0, 1.0, 8, &mut whole).unwrap();
    let mut single = [1.0];
    let mut solver = FixedStep::new(&DORMAND_PRINCE);
    for i in 0..8 {
        solver.step(witch_of_agnesi, i as f64 / 8.0, 0.125, &mut single);
    }
    assert_eq!(whole, single);
}

#[test]
fn a_state_that_leaves_the_finite_numbers_is_given_back() {
    // y' = y^2 from 1 blows up at t = 1; Euler with h = 1 squares it every step.
    let f = |_: f64, y: &[f64], dy: &mut [f64]| dy[0] = y[0] * y[0];
    let mut y = [1.0];
    let error = FixedStep::new(&EULER).solve(f, 0.0, 20.0, 20, &mut y).unwrap_err();
    assert_eq!(error, IntegrateError::NonFinite { t: 11.0 });
    assert!(y[0] > 1e200 && y[0].is_finite());
}

#[test]
fn nothing_happens_to_an_empty_state_or_in_no_steps() {
    let mut solver = FixedStep::<f32>::new(&RK4);
    assert_eq!(solver.solve(|_, _, _| (), 0.0, 1.0, 3, &mut []).unwrap().accepted, 3);
    let mut y = [2.0];
    assert_eq!(solver.solve(|_, _, dy| dy[0] = 1.0, 0.0, 1.0, 0, &mut y), Ok(Stats::default()));
    assert_eq!(y, [2.0]);
}

#[test]
fn large_states_are_worked_through_in_chunks() {
    let n = 50_000;
    let f = |_: f64, y: &[f32], dy: &mut [f32]| dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -y);
    let start: Vec<f32> = (0..n).map(|i| (i % 1000) as f32).collect();
    let mut all = start.clone();
    FixedStep::new(&RK4).solve(f, 0.0, 1.0, 5, &mut all).unwrap();
    for i in [0, 999, 16_383, 16_384, 40_001, n - 1] {
        let mut one = [start[i]];
        FixedStep::new(&RK4).solve(f, 0.0, 1.0, 5, &mut one).unwrap();
        assert_eq!(all[i], one[0], "at {i}");
    }
}
