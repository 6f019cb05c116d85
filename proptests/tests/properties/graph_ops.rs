//! Kernels on graphs: every op against a plain reference and finite differences in f64, over shapes
//! that include nothing, one node, rows without entries and a hub; the same bits for any threads.

use engine::gradcheck::gradcheck;
use engine::ode::RungeKutta;
use engine::ode::tableau::RK4;
use engine::ops::edge::{Mean, Resolvent};
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{Matrix, Recording, Tape, Var};
use proptest::prelude::*;
use sprs::CsMat;

use crate::cases::cases;

/// Feature lengths: nothing, less than, about and beyond a register tile.
fn length() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![0, 1, 2, 3, 7, 16, 17, 63, 64, 69, 130])
}

/// An m x n pattern in which row 0, if any, is full.
fn pattern(m: usize, n: usize, seed: u64) -> CsMat<f64> {
    let mut s = Stream::new(seed, "pattern", m as u64, n as u64);
    let (mut starts, mut columns, mut data) = (vec![0], Vec::new(), Vec::new());
    for i in 0..m {
        for j in 0..n {
            if i == 0 || s.uniform() < 0.25 {
                columns.push(j);
                data.push(s.uniform() - 0.4);
            }
        }
        starts.push(columns.len());
    }
    CsMat::new((m, n), starts, columns, data)
}

fn random(rows: usize, cols: usize, seed: u64) -> Matrix<f64> {
    let mut m = Matrix::zeros(rows, cols);
    Stream::new(seed, "random", rows as u64, cols as u64).fill_normal(m.data_mut());
    m
}

/// The nearest multiples of 1/100, plus a shift.
fn hundredths(mut m: Matrix<f64>, shift: f64) -> Matrix<f64> {
    m.data_mut().iter_mut().for_each(|x| *x = (100.0 * *x).round() / 100.0 + shift);
    m
}

/// The (row, column) of each entry.
fn entries(s: &CsMat<f64>) -> Vec<(usize, usize)> {
    s.iter().map(|(_, (i, j))| (i, j)).collect()
}

fn run(inputs: &[Matrix<f64>], f: impl Fn(&mut Recording<f64>, &[Var]) -> Var) -> Vec<f64> {
    let mut tape = Tape::new();
    let mut g = tape.record(&[]);
    let vars: Vec<_> = inputs.iter().map(|m| g.variable(m.rows(), m.cols(), m.data())).collect();
    let y = f(&mut g, &vars);
    g.value(y).data.to_vec()
}

fn check(name: &str, inputs: &[Matrix<f64>], want: &[f64], f: impl Fn(&mut Recording<f64>, &[Var]) -> Var) {
    let got = run(inputs, &f);
    assert_eq!(got.len(), want.len(), "{name}");
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0)), "{name}");
    if let Err(e) = gradcheck(inputs, 1e-6, f) {
        panic!("{name}: {e}");
    }
}

/// Softmax over the entries of each row, head by head.
fn softmax(s: &CsMat<f64>, scores: &Matrix<f64>) -> Matrix<f64> {
    let ends = entries(s);
    let mut p = scores.clone();
    for h in 0..scores.rows() {
        for i in 0..s.rows() {
            let own: Vec<usize> = (0..ends.len()).filter(|e| ends[*e].0 == i).collect();
            let total: f64 = own.iter().map(|e| scores[(h, *e)].exp()).sum();
            own.iter().for_each(|e| p[(h, *e)] = scores[(h, *e)].exp() / total);
        }
    }
    p
}

/// y_i = sum_e w_e x_j, head by head.
fn weigh(s: &CsMat<f64>, w: &Matrix<f64>, x: &Matrix<f64>) -> Matrix<f64> {
    let mut y = Matrix::zeros(x.rows(), s.rows());
    let block = x.rows() / w.rows();
    for (e, (i, j)) in entries(s).into_iter().enumerate() {
        for a in 0..x.rows() {
            y[(a, i)] += w[(a / block, e)] * x[(a, j)];
        }
    }
    y
}

/// The mobility of an edge, as its definition says.
fn theta(mean: Mean, a: f64, b: f64, drop: f64) -> f64 {
    match mean {
        Mean::Arithmetic => 0.5 * (a + b),
        Mean::Logarithmic if a == b => a,
        // log a - log b without the loss of digits where a and b are near each other.
        Mean::Logarithmic => (a - b) / ((a - b) / b).ln_1p(),
        Mean::Upwind if drop > 0.0 => b,
        Mean::Upwind => a,
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn ops_on_edges(m in 0_usize..9, n in 0_usize..9, d in length(), heads in prop::sample::select(vec![1_usize, 2, 3, 4, 5, 8, 16, 32]), seed in 0_u64..1 << 40) {
        let s = pattern(m, n, seed);
        let (sparse, values) = Sparse::new(&s);
        let ends = entries(&s);
        let (d, nnz) = (d * heads, ends.len());
        // A distance has a kink at 0: no coordinates of two nodes come nearer than 0.005.
        let (q, k) = (hundredths(random(d, m, seed), 0.0), hundredths(random(d, n, seed ^ 1), 0.005));

        let block = d / heads;
        let mut dots = Matrix::zeros(heads, nnz);
        for (e, (i, j)) in ends.iter().enumerate() {
            for a in 0..d {
                dots[(a / block, e)] += q[(a, *i)] * k[(a, *j)];
            }
        }
        let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_dot(&sparse, x[0], x[1], heads);
        check("dot", &[q.clone(), k.clone()], dots.data(), f);

        let square = |e: &(usize, usize)| (0..d).map(|a| (q[(a, e.0)] - k[(a, e.1)]).powi(2)).sum::<f64>();
        let squares: Vec<f64> = ends.iter().map(square).collect();
        let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_squared_distance(&sparse, x[0], x[1]);
        check("squared distance", &[q.clone(), k.clone()], &squares, f);
        let roots: Vec<f64> = squares.iter().map(|r| r.sqrt()).collect();
        let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_distance(&sparse, x[0], x[1]);
        check("distance", &[q.clone(), k.clone()], &roots, f);

        let scores = random(heads, nnz, seed ^ 2);
        let p = softmax(&s, &scores);
        let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_softmax(&sparse, x[0]);
        check("softmax", std::slice::from_ref(&scores), p.data(), f);
        let f = |g: &mut Recording<f64>, x: &[Var]| g.attend(&sparse, x[0], x[1]);
        check("attend", &[scores.clone(), k.clone()], weigh(&s, &p, &k).data(), f);
        let f = |g: &mut Recording<f64>, x: &[Var]| g.sparse_columns(&sparse, x[0], x[1]);
        check("heads", &[scores.clone(), k.clone()], weigh(&s, &scores, &k).data(), f);

        if m == n {
            let w = Matrix::from_vec(1, nnz, values);
            let mut want = weigh(&s, &w, &k);
            want.data_mut().iter_mut().zip(k.data()).for_each(|(y, x)| *y -= x);
            let f = |g: &mut Recording<f64>, x: &[Var]| g.sparse_laplacian(&sparse, x[0], x[1]);
            check("laplacian", &[w.clone(), k.clone()], want.data(), f);
            let (map, shift) = (random(d, d, seed ^ 5), random(d, 1, seed ^ 6));
            // Scores of a few units, however many numbers a node has, and changes of that size along a random
            // direction: the reference takes their exponentials, and differences of one step their third derivative.
            let unit = 1.0 / d as f64;
            let mut bilinear = Matrix::zeros(1, nnz);
            for (e, (i, j)) in ends.iter().enumerate() {
                for a in 0..d {
                    let q: f64 = (0..d).map(|b| map[(a, b)] * k[(b, *i)]).sum::<f64>();
                    bilinear[(0, e)] += (shift[(a, 0)] / 8.0 + unit * q) * k[(a, *j)];
                }
            }
            let f = |g: &mut Recording<f64>, x: &[Var]| {
                let (m, c) = (g.scale(x[0], unit), g.scale(x[1], 0.125));
                g.edge_attention(&sparse, m, c, x[2])
            };
            check("attention", &[map, shift, k.clone()], softmax(&s, &bilinear).data(), f);
            let mut drops = weigh(&s, &w, &k);
            for (e, (i, _)) in ends.iter().enumerate() {
                (0..d).for_each(|a| drops[(a, *i)] -= w[(0, e)] * k[(a, *i)]);
            }
            let f = |g: &mut Recording<f64>, x: &[Var]| g.sparse_differences(&sparse, x[0], x[1]);
            check("differences", &[w.clone(), k.clone()], drops.data(), f);
            let z = random(d, n, seed ^ 4);
            let mut stepped = z.clone();
            stepped.data_mut().iter_mut().zip(want.data()).for_each(|(y, l)| *y += 0.3 * l);
            let f = |g: &mut Recording<f64>, x: &[Var]| g.sparse_step(&sparse, x[0], x[1], x[2], 0.3);
            check("step", &[w.clone(), k.clone(), z], stepped.data(), f);
            let mut sines = Matrix::zeros(d, m);
            for (e, (i, j)) in ends.iter().enumerate() {
                (0..d).for_each(|a| sines[(a, *i)] += w[(0, e)] * (k[(a, *j)] - k[(a, *i)]).sin());
            }
            let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_sine(&sparse, x[0], x[1]);
            check("sine", &[w.clone(), k.clone()], sines.data(), f);

            let density = Matrix::from_vec(d, n, k.data().iter().map(|v| 0.1 + v * v).collect());
            // Upwind has a kink where a drop is 0: no two nodes come nearer than 4e-4, which no finite difference
            // reaches.
            let mut phi = hundredths(random(d, n, seed ^ 3), 0.0);
            phi.data_mut().iter_mut().enumerate().for_each(|(at, phi)| *phi += 0.0037 * (at / d) as f64);
            for mean in [Mean::Arithmetic, Mean::Logarithmic, Mean::Upwind] {
                let mut want = Matrix::zeros(d, m);
                for (e, (i, j)) in ends.iter().enumerate() {
                    for a in 0..d {
                        let (x, y, drop) = (density[(a, *i)], density[(a, *j)], phi[(a, *j)] - phi[(a, *i)]);
                        want[(a, *i)] += w[(0, e)] * theta(mean, x, y, drop) * drop;
                    }
                }
                let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_flux(&sparse, mean, x[0], x[1], x[2]);
                check(&format!("{mean:?}"), &[w.clone(), density.clone(), phi.clone()], want.data(), f);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// Rows below, at and beyond whole panels, nodes below and beyond a group that is sorted.
    #[test]
    fn a_runge_kutta_step_of_diffusion(n in 0_usize..140, d in prop::sample::select(vec![0_usize, 1, 32, 33, 63, 64, 69]), seed in 0_u64..1 << 40) {
        let s = pattern(n, n, seed);
        let (sparse, values) = Sparse::new(&s);
        let inputs = [Matrix::from_vec(1, values.len(), values), random(d, n, seed)];
        // Small enough that the step is no polynomial of huge terms.
        let h = 0.6 / n.max(2) as f64;
        let plain = run(&inputs, |g, x| {
            let f = &mut |g: &mut Recording<f64>, y: Var, _: f64| g.sparse_laplacian(&sparse, x[0], y);
            RungeKutta::new(&RK4).unwrap().step(g, x[1], 0.0, h, f)
        });
        check("step", &inputs, &plain, |g, x| g.diffusion_rk4_step(&sparse, x[0], x[1], h));
        // The gradient is added to what x has from elsewhere.
        let twice: Vec<f64> = plain.iter().zip(inputs[1].data()).map(|(y, x)| y + x).collect();
        check("x and its step", &inputs, &twice, |g, x| {
            let y = g.diffusion_rk4_step(&sparse, x[0], x[1], h);
            g.add(y, x[1])
        });
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// d z - c W z = b, put back into the equation; d is c sum_j W_ij v_j / v_i and more.
    #[test]
    fn implicit_diffusion(n in 0_usize..9, rows in length(), most in 0.1_f64..30.0, seed in 0_u64..1 << 40) {
        let half = pattern(n, n, seed).map(|w| w.abs());
        let s = &half + &half.transpose_view().to_csr();
        let (sparse, w) = Sparse::new(&s);
        let positive = |cols: usize, k: u64| random(rows, cols, seed ^ k).data().iter().map(|v| 0.1 + v.abs()).collect();
        let positive = |cols: usize, k: u64| Matrix::from_vec(rows, cols, positive(cols, k));
        let (v, mut c, b, mut d) = (positive(n, 1), positive(1, 2), positive(n, 3), positive(n, 4));
        c.data_mut().iter_mut().for_each(|c| *c *= most);
        for (e, (i, j)) in entries(&s).into_iter().enumerate() {
            (0..rows).for_each(|a| d[(a, i)] += c[(a, 0)] * w[e] * v[(a, j)] / v[(a, i)]);
        }
        let resolvent = Resolvent::new(&sparse, &w);
        let guess = random(rows, n, seed ^ 5);
        let f = |g: &mut Recording<f64>, x: &[Var]| {
            let guess = g.constant(rows, n, guess.data());
            g.implicit_diffusion(&resolvent, [x[0], x[1], x[2]], guess)
        };
        let inputs = [d, c, b];
        let z = Matrix::from_vec(rows, n, run(&inputs, f));
        let [d, c, b] = &inputs;
        let mixed = weigh(&s, &Matrix::from_vec(1, w.len(), w), &z);
        for i in 0..n {
            for a in 0..rows {
                let left = d[(a, i)] * z[(a, i)] - c[(a, 0)] * mixed[(a, i)];
                let size = d[(a, i)] * z[(a, i)] + b[(a, i)];
                prop_assert!((left - b[(a, i)]).abs() < 1e-9 * size, "{left} {}", b[(a, i)]);
                prop_assert!(z[(a, i)] > 0.0);
            }
        }
        if let Err(e) = gradcheck(&inputs, 1e-6, f) {
            panic!("{e}");
        }
    }
}

#[test]
fn the_distance_of_a_node_to_itself_has_no_gradient() {
    let s = CsMat::new((1, 1), vec![0, 1], vec![0], vec![1.0]);
    let (sparse, _) = Sparse::new(&s);
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let x = g.variable(3, 1, &[1.0, 2.0, 3.0]);
    let r = g.edge_distance(&sparse, x, x);
    assert_eq!(g.value(r).data, [0.0]);
    g.backward_from(r, &[1.0], &mut []);
    assert_eq!(g.grad(x).data, [0.0; 3]);
}

/// Bits of the output and gradients of attention on a graph of several tasks with a hub.
fn bits(threads: usize) -> Vec<u32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (sparse, _) = Sparse::new(&pattern(150, 150, 5));
        let mut tape = Tape::<f32>::new();
        let mut g = tape.record(&[]);
        let mut data = vec![0.0; 48 * 150];
        Stream::new(1, "x", 0, 0).fill_normal(&mut data);
        let x = g.variable(48, 150, &data);
        let map = g.variable(48, 48, &data[..48 * 48]);
        let map = g.scale(map, 0.01);
        let shift = g.constant(48, 1, &data[..48]);
        let p = g.edge_attention(&sparse, map, shift, x);
        let x_seen = g.sparse_columns(&sparse, p, x);
        let s = g.edge_dot(&sparse, x_seen, x, 2);
        let y = g.attend(&sparse, s, x);
        let r = g.edge_distance(&sparse, y, x);
        let z = g.sparse_laplacian(&sparse, r, y);
        let z = g.sparse_differences(&sparse, r, z);
        let z = g.diffusion_rk4_step(&sparse, r, z, 1e-3);
        let seed = vec![1.0; 48 * 150];
        g.backward_from(z, &seed, &mut []);
        g.value(z).data.iter().chain(g.grad(x).data).map(|v| v.to_bits()).collect()
    })
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
}

/// Equal and nearly equal ends, where the logarithmic mean's quotient has no digits left.
#[test]
fn the_logarithmic_mean_of_close_densities() {
    let s = CsMat::new((2, 2), vec![0, 1, 2], vec![1, 0], vec![1.0, 1.0]);
    let (sparse, _) = Sparse::new(&s);
    for gap in [0.0, 1e-12, 1e-6, 1e-3, 0.02, 0.06, 0.07, 0.5] {
        let x = [Matrix::from_vec(1, 2, vec![1.0, 1.0]), Matrix::from_vec(1, 2, vec![2.0, 2.0 + gap])];
        let phi = Matrix::from_vec(1, 2, vec![0.0, 1.0]);
        let f = |g: &mut Recording<f64>, x: &[Var]| g.edge_flux(&sparse, Mean::Logarithmic, x[0], x[1], x[2]);
        // z / atanh z with atanh summed to convergence.
        let z: f64 = gap / (4.0 + gap);
        let series: f64 = (0..40).map(|k| z.powi(2 * k) / (2 * k + 1) as f64).sum();
        let want = (2.0 + gap / 2.0) / series;
        check("logarithmic", &[x[0].clone(), x[1].clone(), phi], &[want, -want], f);
    }
}

/// Where the potentials of both ends are equal, the gradient still moves as much from one end as to the other.
#[test]
fn the_upwind_gradient_at_a_tie() {
    let s = CsMat::new((2, 2), vec![0, 1, 1], vec![1], vec![1.0]);
    let (sparse, _) = Sparse::new(&s);
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let (w, x, phi) = (g.variable(1, 1, &[1.0]), g.variable(1, 2, &[1.0, 3.0]), g.variable(1, 2, &[0.0; 2]));
    let y = g.edge_flux(&sparse, Mean::Upwind, w, x, phi);
    assert_eq!(g.value(y).data, [0.0; 2]);
    g.backward_from(y, &[1.0, 0.0], &mut []);
    assert_eq!(g.grad(phi).data, [-1.0, 1.0]);
    assert_eq!((g.grad(w).data, g.grad(x).data), (&[0.0][..], &[0.0; 2][..]));
}
