//! The edges between particles and their geometry.
//!
//! Nodes are the particles of all states of a batch, state after state. In an edge (i, j) i is the receiver
//! and j the sender; edges are sorted by i, then by j. Every ordered pair of particles of a state is an edge, or
//! those whose distance in the network's input is below a cut-off.

use engine::packed_gemm::LANES;
use engine::{Real, Shape, View, simd_fn};

/// The shape of a state, and which pairs of its particles are edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairs {
    /// Particles of a state.
    pub particles: usize,
    /// Dimension of the space, 1 to 3.
    pub space: usize,
    /// Pairs farther apart than this in the network's input are not edges; infinite for all pairs.
    pub cutoff: f64,
}

/// One edge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge<T> {
    /// The receiver.
    pub i: u32,
    /// The sender.
    pub j: u32,
    /// The columns of P and Q for i and j.
    pub p: u32,
    pub q: u32,
    /// x_i - x_j.
    pub d: [T; 3],
    /// |x_i - x_j|^2.
    pub r2: T,
    /// |x_i - x_j|^2 in the network's input.
    pub e0: T,
}

/// Layout of a node's column of the output: hidden features, then the position.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub hidden: usize,
    pub space: usize,
}

impl Columns {
    /// Length of a column.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.hidden + self.space
    }

    /// Range of panel `k` of a node's hidden features.
    #[inline(always)]
    pub fn panel(self, node: u32, k: usize) -> std::ops::Range<usize> {
        let at = node as usize * self.len();
        at + k * LANES..at + ((k + 1) * LANES).min(self.hidden)
    }

    /// Range of a node's position.
    #[inline(always)]
    pub fn position(self, node: u32) -> std::ops::Range<usize> {
        let at = node as usize * self.len() + self.hidden;
        at..at + self.space
    }
}

impl Pairs {
    /// Number of nodes whose edges are processed as a block: enough columns for a matrix product at full speed,
    /// few enough for the operands to stay in the L2 cache. Whole states if only half of their edges are
    /// listed (`even`).
    pub(super) fn block(&self, even: bool) -> usize {
        const EDGES: usize = 144;
        if even {
            EDGES.div_ceil(self.particles * (self.particles - 1) / 2) * self.particles
        } else {
            EDGES.div_ceil((self.particles - 1).max(1))
        }
    }

    /// Largest number of edges of a block.
    pub(super) fn most_edges(&self, even: bool) -> usize {
        self.edges(self.block(even), even)
    }

    /// Largest number of edges of `nodes` nodes.
    pub(super) fn edges(&self, nodes: usize, even: bool) -> usize {
        nodes * (self.particles - 1) / if even { 2 } else { 1 }
    }

    /// The columns of each state's first particle, copied to `space`.
    pub(super) fn first_of_each<'a, T: Real>(&self, h: View<T>, space: &'a mut Vec<T>) -> View<'a, T> {
        let (rows, n) = (h.shape.rows, self.particles);
        space.clear();
        h.data.chunks_exact(rows * n).for_each(|state| space.extend_from_slice(&state[..rows]));
        View { data: space, shape: Shape::new(rows, h.shape.cols / n) }
    }

    /// Replaces `edges` by those of `nodes`, at positions `x` and `origin` (space x nodes each). If `even`, only
    /// i < j is listed, and P and Q have one column for each state.
    pub(super) fn list<T: Real>(
        &self,
        nodes: std::ops::Range<usize>,
        x: &[T],
        origin: &[T],
        even: bool,
        edges: &mut Vec<Edge<T>>,
    ) {
        let (n, space, limit) = (self.particles, self.space, self.cutoff * self.cutoff);
        edges.clear();
        for i in nodes {
            let first = i / n * n;
            let start = if even { i + 1 } else { first };
            for j in (start..first + n).filter(|j| *j != i) {
                let (p, q) = if even { (i / n, i / n) } else { (i, j) };
                let [i, j, p, q] = [i, j, p, q].map(|k| k as u32);
                edges.push(Edge { i, j, p, q, ..Edge::default() });
            }
        }
        measure(space, x, origin, edges);
        if limit < f64::INFINITY {
            edges.retain(|e| e.e0.f64() < limit);
        }
    }
}

simd_fn! {
    /// Differences and squared distances of each edge's nodes.
    fn measure<T: Real>(space: usize, x: &[T], origin: &[T], edges: &mut [Edge<T>]) {
        for e in edges {
            let (i, j) = (e.i as usize * space, e.j as usize * space);
            for k in 0..space {
                e.d[k] = x[i + k] - x[j + k];
                e.r2 = e.d[k].mul_add(e.d[k], e.r2);
                let d0 = origin[i + k] - origin[j + k];
                e.e0 = d0.mul_add(d0, e.e0);
            }
        }
    }
}
