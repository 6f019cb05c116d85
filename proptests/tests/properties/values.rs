//! Values of ops that sum, compare, divide and rearrange, against plain loops.

use engine::{Matrix, Recording, Var};
use proptest::prelude::*;

use crate::cases::cases;
use crate::ops::{entries, run, size};

fn check(name: &str, inputs: &[Matrix<f64>], want: &[f64], f: impl Fn(&mut Recording<f64>, &[Var]) -> Var) {
    let got = run::<f64>(inputs, f);
    assert_eq!(got.len(), want.len(), "{name}");
    for (got, want) in got.iter().zip(want) {
        // The mean of nothing is no number, and its maximum infinite.
        let same = got == want || (got.is_nan() && want.is_nan());
        assert!(same || (got - want).abs() < 1e-11 * want.abs().max(1.0), "{name}: {got} is not {want}");
    }
}

fn sum(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum, v| sum + v)
}

fn mean(x: &[f64]) -> f64 {
    sum(x) / x.len() as f64
}

fn sum_of_exponentials(x: &[f64]) -> f64 {
    x.iter().map(|v| v.exp()).sum()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn reductions_have_the_right_values(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        let x = [entries(rows, cols, seed, false)];
        let (all, columns) = (x[0].data(), || (0..cols).map(|j| x[0].col(j)));
        check("sum", &x, &[sum(all)], |g, x| g.sum(x[0]));
        check("mean", &x, &[mean(all)], |g, x| g.mean(x[0]));
        check("column_mean", &x, &columns().map(mean).collect::<Vec<_>>(), |g, x| g.column_mean(x[0]));
        let row_sums: Vec<f64> = (0..rows).map(|i| (0..cols).map(|j| x[0][(i, j)]).sum()).collect();
        check("row_sum", &x, &row_sums, |g, x| g.row_sum(x[0]));
        let max = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        check("max", &x, &[max], |g, x| g.max(x[0]));
        let softmax: Vec<f64> = all.iter().map(|v| v.exp() / sum_of_exponentials(all)).collect();
        check("softmax", &x, &softmax, |g, x| g.softmax(x[0]));
        let logs = columns().flat_map(|column| column.iter().map(|v| v - sum_of_exponentials(column).ln()));
        check("column_log_softmax", &x, &logs.collect::<Vec<_>>(), |g, x| g.column_log_softmax(x[0]));
    }

    #[test]
    fn quotients_powers_and_pieces_have_the_right_values(rows in size(), cols in size(), seed in 0_u64..1 << 40) {
        let x = [entries(rows, cols, seed, false), entries(rows, cols, seed ^ 1, true)];
        let (a, b) = (x[0].data(), x[1].data());
        let quotients: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        check("div", &x, &quotients, |g, x| g.div(x[0], x[1]));
        let powers: Vec<f64> = a.iter().map(|v| v.signum() * v.abs().powf(1.7)).collect();
        check("signed_power", &x, &powers, |g, x| g.signed_power(x[0], 1.7));
        check("reshape", &x, a, |g, x| g.reshape(x[0], cols, rows));
        let some = cols / 3..cols - cols / 4;
        let slice = &a[some.start * rows..some.end * rows];
        check("slice_cols", &x, slice, |g, x| g.slice_cols(x[0], some.clone()));
        check("concat_cols", &x, &[b, a, b].concat(), |g, x| g.concat_cols(&[x[1], x[0], x[1]]));
    }
}
