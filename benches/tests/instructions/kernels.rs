//! The kernels that are counted, at sizes that valgrind does in a moment.

use engine::optim::Adam;
use engine::packed_gemm::{self, Operand, Output, Packed};
use engine::rng::Stream;
use engine::sparse::Sparse;
use engine::{Params, Real, Recording, Shape, Tape, Var, View, simd_fn};
use models::sampler::iwsm::noised_score::Estimates;
use models::score::{Egnn, EgnnConfig, Pairs};
use models::target::{BLOCK, Geometry, LennardJones, Mixture, Target};

/// A kernel on its inputs.
pub type Step = Box<dyn FnMut()>;

/// Makes the inputs.
pub type Build = fn() -> Step;

/// Name and inputs of each.
pub const KERNELS: &[(&str, Build)] = &[
    ("linear and SiLU 128 x 128 on 64 columns, both ways", linear_silu),
    ("packed product W x, 128 x 128 x 144", product),
    ("packed product a b^T, 128 x 144 x 128", outer),
    ("exp of 4096", || elementary(exp)),
    ("ln of 4096", || elementary(ln)),
    ("sin of 4096", || elementary(sin)),
    ("4096 normal numbers", normals_drawn),
    ("sparse times dense, 1000 nodes, 12 000 edges, 64 columns", spmm),
    ("attention on 12 000 edges of 64 numbers, both ways", attention),
    ("a step of RK4 on 12 000 edges of 64 numbers, both ways", rk4),
    ("EGNN, two layers of 128 on 16 states of 4 particles, both ways", egnn),
    ("score of a noised mixture, 16 points, 128 draws", mixture),
    ("energies and scores of LJ-13, 128 states", lennard_jones),
    ("Adam on 10 000 parameters", adam),
];

const N: usize = 4096;

fn normals(n: usize) -> Vec<f32> {
    let mut x = vec![0.0; n];
    Stream::new(0, "instructions", 0, 0).fill_normal(&mut x);
    x
}

simd_fn! {
    fn exp<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = x.exp();
        }
    }
    fn ln<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = x.ln();
        }
    }
    fn sin<T: Real>(x: &[T], y: &mut [T]) {
        for (x, y) in x.iter().zip(y) {
            *y = x.sin_cos().0;
        }
    }
}

fn elementary(f: fn(&[f32], &mut [f32])) -> Step {
    let x: Vec<f32> = normals(N).iter().map(|x| x.abs() + 0.1).collect();
    let mut y = vec![0.0; N];
    Box::new(move || f(&x, &mut y))
}

fn normals_drawn() -> Step {
    let mut x = vec![0.0_f32; N];
    Box::new(move || Stream::new(0, "drawn", 0, 0).fill_normal(&mut x))
}

/// Forward and backward of what `f` records from inputs of these shapes.
fn both_ways<const K: usize>(
    inputs: [(Shape, Vec<f32>); K],
    f: impl Fn(&mut Recording<f32>, [Var; K]) -> Var + 'static,
) -> Step {
    let mut tape = Tape::new();
    Box::new(move || {
        let mut g = tape.record(&[]);
        let vars = inputs.each_ref().map(|(shape, data)| g.variable(shape.rows, shape.cols, data));
        let y = f(&mut g, vars);
        let y = g.sum(y);
        g.backward(y, &mut []);
    })
}

fn matrix(rows: usize, cols: usize) -> (Shape, Vec<f32>) {
    (Shape::new(rows, cols), normals(rows * cols).iter().map(|x| 0.1 * x).collect())
}

fn linear_silu() -> Step {
    both_ways([matrix(128, 128), matrix(128, 64), matrix(128, 1)], |g, [w, x, b]| g.linear_silu(w, x, b))
}

fn packed(rows: usize, cols: usize) -> Packed<f32> {
    let mut out = Packed::default();
    packed_gemm::pack(View { data: &normals(rows * cols), shape: Shape::new(rows, cols) }, &mut out);
    out
}

fn product() -> Step {
    let (h, n) = (128, 144);
    let (w, x) = (packed(h, h), packed(h, n));
    let mut out = x.to_vec();
    Box::new(move || {
        packed_gemm::product(&w, Operand::panels(&x, h, n), Output::panels(&mut out, n, false));
    })
}

fn outer() -> Step {
    let (h, n) = (128, 144);
    let (x, mut out) = (packed(h, n), packed(h, h).to_vec());
    Box::new(move || packed_gemm::outer(&x, Operand::panels(&x, h, n), &mut out))
}

const NODES: usize = 1000;
const COLUMNS: usize = 64;

/// Twelve edges into each node.
fn graph() -> (Sparse, Vec<f32>) {
    let mut s = Stream::new(0, "graph", 0, 0);
    let mut triplets = sprs::TriMat::new((NODES, NODES));
    (0..12 * NODES).for_each(|e| triplets.add_triplet(e / 12, s.index(NODES), 0.1_f32));
    Sparse::new(&triplets.to_csr::<usize>())
}

fn spmm() -> Step {
    let ((sparse, w), (_, x)) = (graph(), matrix(COLUMNS, NODES));
    let mut y = x.clone();
    Box::new(move || sparse.product(&w, &x, COLUMNS, &mut y))
}

fn attention() -> Step {
    let (sparse, _) = graph();
    both_ways([matrix(COLUMNS, COLUMNS), matrix(COLUMNS, 1), matrix(COLUMNS, NODES)], move |g, [m, c, x]| {
        g.edge_attention(&sparse, m, c, x)
    })
}

fn rk4() -> Step {
    let (sparse, w) = graph();
    both_ways([(Shape::new(1, w.len()), w), matrix(COLUMNS, NODES)], move |g, [w, x]| {
        g.diffusion_rk4_step(&sparse, w, x, 0.25)
    })
}

fn egnn() -> Step {
    let (hidden, states) = (128, 16);
    let pairs = Pairs { particles: 4, space: 2, cutoff: f64::INFINITY };
    let mut params = Params::<f32>::new();
    let network = Egnn::new(EgnnConfig { pairs, hidden, layers: 2 }, &mut params, 0);
    let nodes = 4 * states;
    // The particles of a state have the same features.
    let h: Vec<f32> = normals(hidden * states).chunks(hidden).flat_map(|h| h.repeat(4)).collect();
    let (x, seed) = (normals(2 * nodes), normals(2 * nodes));
    let (mut tape, mut gradient) = (Tape::new(), vec![0.0; params.len()]);
    Box::new(move || {
        let mut g = tape.record(params.values());
        let (h, x) = (g.constant(hidden, nodes, &h), g.constant(2, nodes, &x));
        let y = network.record(&mut g, h, x);
        g.backward_from(y, &seed, &mut gradient);
    })
}

fn mixture() -> Step {
    let mixture = Mixture::gmm40();
    let x: Vec<f32> = normals(32).iter().map(|x| 20.0 * x).collect();
    let mut estimates = Estimates::new(Geometry::Euclidean(2));
    Box::new(move || estimates.run(&mixture, &x, &[5.0; 16], BLOCK, (0, 0)).unwrap())
}

fn lennard_jones() -> Step {
    let x = normals(39 * BLOCK);
    let (mut log_p, mut score, mut scratch) = (vec![0.0; BLOCK], vec![0.0; 39 * BLOCK], Vec::new());
    let target = LennardJones::lj13();
    Box::new(move || {
        target.evaluate_block(BLOCK, &x, &mut log_p, &mut score, &mut scratch).unwrap();
    })
}

fn adam() -> Step {
    let (mut params, gradient) = (normals(10_000), normals(10_000));
    let mut adam = Adam::new(params.len());
    Box::new(move || adam.step(&mut params, &gradient, 1e-3))
}
