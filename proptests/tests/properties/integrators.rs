//! Invariances of the integrators on linear equations, for any size and thread count.

use engine::ode::tableau::{ALL, DORMAND_PRINCE, RK4};
use engine::ode::{Adaptive, RungeKutta, Tableau};
use engine::{Recording, Tape, Var};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases::cases;

/// dy = A y with the skew-symmetric A_ij = s_ij (i < j), -s_ji (i > j).
fn skew(s: &[f64], n: usize) -> impl Fn(f64, &[f64], &mut [f64]) + '_ {
    move |_, y, dy| {
        dy.fill(0.0);
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        for ((i, j), s) in pairs.zip(s) {
            dy[i] += s * y[j];
            dy[j] -= s * y[i];
        }
    }
}

/// The state after `steps` equal steps of the same equation over one unit of time, recorded on a tape.
fn recorded(
    tableau: &'static Tableau,
    s: &[f64],
    start: &[f64],
    (t0, t1): (f64, f64),
    steps: usize,
) -> Vec<f64> {
    let n = start.len();
    let columns: Vec<f64> = (0..n)
        .flat_map(|j| {
            let mut unit = vec![0.0; n];
            unit[j] = 1.0;
            let mut column = vec![0.0; n];
            skew(s, n)(0.0, &unit, &mut column);
            column
        })
        .collect();
    let mut tape = Tape::new();
    let mut g = tape.record(&[]);
    let (a, x) = (g.constant(n, n, &columns), g.constant(n, 1, start));
    let f = |g: &mut Recording<f64>, x: Var, _: f64| g.matmul(a, x);
    let end = RungeKutta::new(tableau).unwrap().integrate(&mut g, x, (t0, t1), steps, f);
    g.value(end).data.to_vec()
}

fn norm(y: &[f64]) -> f64 {
    y.iter().map(|y| y * y).sum::<f64>().sqrt()
}

fn system() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1..6usize).prop_flat_map(|n| (vec(-1.0..1.0f64, n * (n - 1) / 2), vec(-2.0..2.0f64, n)))
}

fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn rotations_keep_the_norm_to_the_tolerance((s, start) in system(), end in -5.0..5.0f64) {
        let mut y = start.clone();
        Adaptive::new(&DORMAND_PRINCE, 1e-9, 1e-9).unwrap().solve(skew(&s, y.len()), 0.0, end, &mut y).unwrap();
        prop_assert!((norm(&y) - norm(&start)).abs() < 1e-6, "{} became {}", norm(&start), norm(&y));
        let y = recorded(&RK4, &s, &start, (0.0, end), 500);
        prop_assert!((norm(&y) - norm(&start)).abs() < 1e-6);
    }

    #[test]
    fn there_and_back_is_nowhere((s, start) in system(), end in 0.1..3.0f64) {
        let mut y = start.clone();
        let mut solver = Adaptive::new(&DORMAND_PRINCE, 1e-9, 1e-9).unwrap();
        solver.solve(skew(&s, y.len()), 0.0, end, &mut y).unwrap();
        solver.solve(skew(&s, y.len()), end, 0.0, &mut y).unwrap();
        for (y, start) in y.iter().zip(&start) {
            prop_assert!((y - start).abs() < 1e-6, "{y} is not {start}");
        }
    }

    #[test]
    fn fixed_steps_are_linear_in_the_state((s, a) in system(), factor in -3.0..3.0f64, shift in -1.0..1.0f64) {
        for tableau in ALL {
            let solve = |y: Vec<f64>| recorded(tableau, &s, &y, (0.0, 1.0), 7);
            let b = vec![shift; a.len()];
            let mixed = solve(a.iter().zip(&b).map(|(a, b)| factor * a + b).collect());
            let (a, b) = (solve(a.clone()), solve(b));
            for ((mixed, a), b) in mixed.iter().zip(&a).zip(&b) {
                prop_assert!((mixed - (factor * a + b)).abs() < 1e-12, "{}", tableau.name);
            }
        }
    }

    #[test]
    fn time_is_translation_invariant_for_autonomous_equations((s, start) in system(), t0 in -4.0..4.0f64) {
        let t0 = (t0 * 8.0).round() / 8.0;
        let [here, there] = [0.0, t0].map(|t0| recorded(&DORMAND_PRINCE, &s, &start, (t0, t0 + 1.0), 8));
        prop_assert_eq!(here, there);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn threads_change_no_bit(n in prop_oneof![0..40usize, 16_000..50_000usize], rate in 0.1..2.0f32) {
        let f = |_: f64, y: &[f32], dy: &mut [f32]| {
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -rate * y * y);
        };
        let [one, two] = [1, 2].map(|threads| {
            on_threads(threads, || {
                let mut y: Vec<f32> = (0..n).map(|i| 1.0 + (i % 97) as f32 / 97.0).collect();
                let stats = Adaptive::new(&DORMAND_PRINCE, 1e-5, 1e-5).unwrap().solve(f, 0.0, 1.0, &mut y).unwrap();
                (y, stats)
            })
        });
        prop_assert!(one == two);
    }
}
